"""The steps of the image, run by its own script where the tests run: all but Debian's and torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.released import locked_version

# Read here: a fixture gives the tests a cache of their own, and this one is to last.
GIVEN = os.environ.get("XDG_CACHE_HOME")
CACHE = Path(GIVEN or Path.home() / ".cache") / "sensedex-infra"


@pytest.mark.slow("installs what the image installs, a minute; once for each lock")
def test_the_steps_install_what_the_lock_says(root_dir: Path) -> None:
    """Packages by their hashes, the wheel of this checkout, and what the image's check asks them:
    versions, Ray's dashboard, SeaweedFS, Ray and Prefect."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg of the system's, which the image has")
    environment = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    if GIVEN:
        environment["XDG_CACHE_HOME"] = GIVEN
    script = root_dir / "infra/images/prove-steps.sh"
    done = subprocess.run(
        ["bash", script, CACHE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = Path(done.stdout.strip()).read_text()
    for name in ("ray", "prefect", "qdrant-client"):
        assert f"\n{name} {locked_version(root_dir, name)}\n" in said
    assert re.search(r"^Successfully installed sensedex-\S+$", said, re.MULTILINE)
    assert re.search(r"^version \d+GB \S+", said, re.MULTILINE), "SeaweedFS says no version"


@pytest.mark.slow("pip reads the whole lock: five seconds")
def test_a_step_that_fails_is_named_and_leaves_nothing(root_dir: Path, tmp_path: Path) -> None:
    """A lock whose hashes are of other files installs nothing, and is not taken for proved."""
    for name in (".dockerignore", "hatch_build.py", "pyproject.toml"):
        shutil.copy(root_dir / name, tmp_path / name)
    shutil.copytree(root_dir / "infra/images", tmp_path / "infra/images")
    lock = (root_dir / "requirements.lock").read_text()
    wrong = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, lock)
    (tmp_path / "requirements.lock").write_text(wrong)
    script = tmp_path / "infra/images/prove-steps.sh"
    cache = tmp_path / "cache"
    done = subprocess.run(["bash", script, cache], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "install.sh packages cpu failed" in done.stderr
    assert list(cache.iterdir()) == []
