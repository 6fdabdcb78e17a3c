"""The field's own checkers over infra/, where `make infra-check` has built them before."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.kustomized import build

TOOLS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sensedex-infra"


def checked(root: Path, part: str, *tools: str, built: Path | None = None) -> tuple[int, str]:
    """Exit status and words of infra/setup/check.sh for a part of a checkout."""
    if not all(list(TOOLS.glob(f"bin/{tool}-v*")) for tool in tools):
        pytest.skip("not built yet: make infra-check")
    environment = {**os.environ, **({"BUILT": str(built)} if built else {})}
    command = ["bash", str(root / "infra/setup/check.sh"), str(TOOLS), part]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copied(root_dir: Path, tmp_path: Path) -> Path:
    """A checkout of which infra/ may be broken."""
    ignore = shutil.ignore_patterns("demo", "eval")
    shutil.copytree(root_dir / "infra", tmp_path / "infra", ignore=ignore)
    return tmp_path


def by_name(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def test_kustomize_builds_what_the_checks_look_at(root_dir: Path, tmp_path: Path) -> None:
    """And kubeconform finds each object to be one of Kubernetes' own."""
    status, said = checked(root_dir, "kubernetes", "kustomize", "kubeconform", built=tmp_path)
    assert status == 0, said
    assert "Invalid: 0, Errors: 0" in said
    for overlay in ("cpu", "gpu"):
        theirs = by_name(list(yaml.safe_load_all((tmp_path / f"{overlay}.yaml").read_text())))
        ours = by_name(build(root_dir / "infra/kubernetes/overlays" / overlay))
        assert theirs == ours


def test_kubeconform_sees_a_breach(copied: Path) -> None:
    path = copied / "infra/kubernetes/base/disruption.yaml"
    path.write_text(path.read_text().replace("minAvailable: 1", "minimum: 1", 1))
    status, said = checked(copied, "kubernetes", "kustomize", "kubeconform")
    assert status != 0
    assert "PodDisruptionBudget ray-head is invalid" in said


def test_hcl_is_formatted(root_dir: Path, copied: Path) -> None:
    status, said = checked(root_dir, "terraform", "hclfmt")
    assert status == 0, said
    path = copied / "infra/terraform/kms.tf"
    path.write_text(path.read_text().replace("  description         =", "  description ="))
    status, said = checked(copied, "terraform", "hclfmt")
    assert status != 0


def test_alerts_fire_and_stay_silent(root_dir: Path, copied: Path) -> None:
    """promtool reads the rules and runs rules_test.yml; a rule that never fires fails there."""
    status, said = checked(root_dir, "rules", "promtool")
    assert status == 0, said
    assert "SUCCESS" in said
    path = copied / "infra/monitoring/rules.yml"
    path.write_text(path.read_text().replace("> 100\n", "> 1000\n"))
    status, said = checked(copied, "rules", "promtool")
    assert status != 0
    assert "SensedexLeaseNotRenewed" in said


def test_what_is_not_there_is_said(root_dir: Path, tmp_path: Path) -> None:
    """No tool, no green: check.sh names what it did not look at."""
    command = ["bash", root_dir / "infra/setup/check.sh", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    for tool in ("kustomize", "hclfmt", "promtool"):
        assert f"not looked at: {tool} is not there" in done.stdout
