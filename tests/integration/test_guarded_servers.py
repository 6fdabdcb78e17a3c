"""The servers of docs/security.md, guarded as it says: without token or password, nothing."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.integration.prefect_scene import running, until
from tests.support.free_port import free_port
from tests.support.patience import PATIENCE

PASSWORD = "admin:a-word-of-the-test"


def asked(url: str, password: str | None) -> int:
    request = urllib.request.Request(url)
    if password is not None:
        word = base64.b64encode(password.encode()).decode()
        request.add_header("Authorization", f"Basic {word}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def answers(url: str) -> bool:
    try:
        return asked(url, PASSWORD) == 200
    except OSError:
        return False


def test_prefect_wants_its_password(tmp_path: Path, root_dir: Path, prefect_database: Path) -> None:
    shutil.copy(prefect_database, tmp_path / "prefect.db")
    port = free_port()
    env = {**os.environ, "PREFECT_HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    env["PREFECT_SERVER_API_AUTH_STRING"] = PASSWORD
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    with running([*command, "--no-ui"], tmp_path / "log", root_dir, env):
        url = f"http://127.0.0.1:{port}/api"
        until("Prefect's server", lambda: answers(f"{url}/health"), 120, tmp_path / "log")
        assert asked(f"{url}/admin/version", PASSWORD) == 200
        assert asked(f"{url}/admin/version", None) == 401
        assert asked(f"{url}/admin/version", "admin:another") == 401


@pytest.mark.usefixtures("ray_running")
def test_ray_wants_its_token(root_dir: Path) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    code = "import ray, sys; ray.init(address=sys.argv[1]); print(ray.get(ray.put(41)) + 1)"

    def joins(token: str) -> bool:
        env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        done = subprocess.run(
            [sys.executable, "-c", code, address],
            env=env, cwd=root_dir, capture_output=True, text=True, check=False,
            timeout=400 * PATIENCE,
        )  # fmt: skip
        return done.stdout.strip().endswith("42")

    assert joins(os.environ["RAY_AUTH_TOKEN"])
    assert not joins("0" * 64)
