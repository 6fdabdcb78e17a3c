"""Each setting, command, port and version that infra/ and its pages name is one of the code's."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from flows.cli.main import app
from flows.deployments import read_deployments
from pipeline.settings import Settings
from tests.infra.composed import read
from tests.infra.named import command_complaints, setting_complaints, settings_in, texts
from tests.infra.released import locked_version, own_version, tags
from tests.infra.roles import script

# Agreed on, and made elsewhere at the same time; a part that is there is asked itself.
COMING = {
    "events": {"events.queue_url"},
}
METRICS_PORT = 9464


def fields() -> set[str]:
    """Every setting as part.field, and those that are coming."""
    found = {
        f"{part}.{name}"
        for part, field in Settings.model_fields.items()
        for name in field.annotation.model_fields  # type: ignore[union-attr]
    }
    for part, names in COMING.items():
        if part not in Settings.model_fields:
            found |= names
    return found


def commands() -> dict[str, set[str]]:
    """Every command of `sensedex` and its options."""
    group: Any = typer.main.get_command(app)
    return {
        name: {"--help"}.union(*([*p.opts, *p.secondary_opts] for p in command.params))
        for name, command in group.commands.items()
    }


@pytest.fixture(scope="module")
def everything(root_dir: Path) -> dict[str, str]:
    return texts(root_dir)


def test_every_setting_is_one(everything: dict[str, str]) -> None:
    parts = {*Settings.model_fields, *COMING}
    assert setting_complaints(everything, fields(), parts) == []
    named = set().union(*(settings_in(text, parts) for text in everything.values()))
    assert len(named) > 10


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SENSEDEX_INDEX__KEY: x", "a: there is no setting index.key"),
        ("--set index.nodes=3", "a: there is no setting index.nodes"),
        ("set `state.place` to it", "a: there is no setting state.place"),
        ("SENSEDEX_BUCKET=films", "a: nobody reads SENSEDEX_BUCKET"),
    ],
)
def test_a_setting_that_is_none_is_seen(text: str, complaint: str) -> None:
    assert setting_complaints({"a": text}, fields(), {*Settings.model_fields}) == [complaint]


def test_every_command_is_one(everything: dict[str, str]) -> None:
    assert command_complaints(everything, commands()) == []


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.md", "    sensedex repair\n", "a.md: there is no `sensedex repair`"),
        ("a.md", "then `sensedex verify --mend`", "a.md: `sensedex verify` has no --mend"),
        ("a.yaml", 'command: ["sensedex", "start"]', "a.yaml: there is no `sensedex start`"),
        ("a.yaml", "entrypoint: sensedex run --ray=x", "a.yaml: `sensedex run` has no --ray"),
        ("a.sh", "exec sensedex index", "a.sh: there is no `sensedex index`"),
    ],
)
def test_a_command_that_is_none_is_seen(name: str, text: str, complaint: str) -> None:
    assert command_complaints({name: text}, commands()) == [complaint]


def test_deployments_and_pool_are_those_of_prefect_yaml(
    root_dir: Path, everything: dict[str, str]
) -> None:
    wanted = read_deployments(root_dir / "prefect.yaml").deployments
    named = {
        found
        for text in everything.values()
        for found in re.findall(r"deployment run ([\w/-]+)", text)
    }
    assert named
    assert named <= {deployment.full_name for deployment in wanted}
    pools = {pool for text in everything.values() for pool in re.findall(r"--pool ([\w-]+)", text)}
    assert pools == {deployment.work_pool.name for deployment in wanted}


def _constant(module: str, name: str) -> str:
    """A constant of another package, from its text: importing it takes seconds."""
    spec = find_spec(module.partition(".")[0])
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    found = re.search(rf"\b{name}\b[^\n]*?(\d{{4,5}})", path.read_text())
    assert found is not None, f"{module} has no {name}"
    return found[1]


def test_ports_are_those_on_which_something_listens(root_dir: Path) -> None:
    """Of Ray, Prefect and Qdrant by their own defaults; ours by the settings."""
    start = (root_dir / "infra/images/start.sh").read_text()
    health = script(root_dir / "infra/images/health.py")
    gcs = _constant("ray._private.ray_constants", "DEFAULT_PORT")
    dashboard = _constant("ray._private.ray_constants", "DEFAULT_DASHBOARD_PORT")
    agent = _constant("ray._private.ray_constants", "DEFAULT_DASHBOARD_AGENT_LISTEN_PORT")
    assert f"--port={gcs} " in start
    assert f"--dashboard-port={dashboard} " in start
    assert health.PAGES["head"] == (
        f"http://127.0.0.1:{dashboard}/api/gcs_healthz",
        f"http://127.0.0.1:{agent}/api/local_raylet_healthz",
    )
    worker = re.search(
        r"port: int = Field\(\s*default=(\d+)",
        (Path(find_spec("prefect").origin).parent / "settings/models/worker.py").read_text(),  # type: ignore[union-attr,arg-type]
    )
    assert worker is not None
    assert health.PAGES["worker"] == (f"http://127.0.0.1:{worker[1]}/health",)
    grpc = Settings.model_fields["index"].annotation.model_fields["grpc_port"].default  # type: ignore[union-attr]
    services = read((root_dir / "infra/compose/compose.yaml").read_text()).services
    published = {
        name: {port.split(":")[-1] for port in service.ports} for name, service in services.items()
    }
    assert published["qdrant"] == {"6333", str(grpc)}
    assert published["ray-head"] == {dashboard}
    assert services["worker"].environment["SENSEDEX_METRICS__PORT"] == str(METRICS_PORT)
    if "metrics" in Settings.model_fields:
        part = Settings.model_fields["metrics"].annotation
        assert str(METRICS_PORT) in str(part.model_fields["port"])  # type: ignore[union-attr]
    in_pods = re.findall(
        r"name: metrics, containerPort: (\d+)",
        (root_dir / "infra/kubernetes/base/prefect-worker.yaml").read_text(),
    )
    assert in_pods == [str(METRICS_PORT)]
    open_to = yaml.safe_load_all((root_dir / "infra/kubernetes/base/network.yaml").read_text())
    metrics = next(one for one in open_to if one["metadata"]["name"] == "metrics")
    assert METRICS_PORT in {p["port"] for p in metrics["spec"]["ingress"][0]["ports"]}


def version_complaints(root: Path, everything: dict[str, str]) -> list[str]:
    """Tags and versions that differ from the lock's, from sensedex's, or from one another."""
    found: dict[str, set[str]] = {}
    for text in everything.values():
        for name, tag in tags(text):
            found.setdefault(name, set()).add(tag)
    wrong = [
        f"{name} is of several versions: {sorted(t)}"
        for name, t in found.items()
        if name != "sensedex" and len(t) > 1
    ]
    own = own_version(root)
    wrong += [
        f"sensedex:{tag} is not {own}"
        for tag in sorted(found.get("sensedex", ()))
        if tag not in (f"{own}-cpu", f"{own}-cuda")
    ]
    joined = "\n".join(everything.values())
    ray = locked_version(root, "ray")
    wrong += [
        f"Ray {version} is not the lock's {ray}"
        for version in re.findall(r'rayVersion: "([\d.]+)"', joined)
        if version != ray
    ]
    qdrant = max(found.get("qdrant", {"none"}))
    for chart in re.findall(r"qdrant/qdrant (?:--version )?(\d+\.\d+\.\d+)", joined):
        if qdrant != f"v{chart}":
            wrong.append(f"chart {chart} brings another Qdrant than {qdrant}")
    prometheus = max(found.get("prometheus", {"none"}))
    tool = re.search(r"promtool@v0\.(\d)(\d\d)\.(\d+)", joined)
    if tool is None or prometheus != f"v{tool[1]}.{int(tool[2])}.{tool[3]}":
        wrong.append(f"promtool is not of Prometheus {prometheus}")
    return wrong


def test_versions_agree(root_dir: Path, everything: dict[str, str]) -> None:
    assert version_complaints(root_dir, everything) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("infra/compose/compose.yaml", "qdrant:v1.19.0", "qdrant:v1.18.0", "of several versions"),
        ("infra/compose/compose.yaml", "sensedex:0.1.0", "sensedex:9.9.9", "is not 0.1.0"),
        ("infra/kubernetes/base/raycluster.yaml", '"2.60.0"', '"2.59.0"', "is not the lock's"),
        ("docs/deploy.md", "--version 1.19.0", "--version 1.18.0", "brings another Qdrant"),
        ("infra/setup/tools.sh", "promtool@v0.316.0", "promtool@v0.315.0", "promtool is not of"),
    ],
)
def test_versions_that_differ_are_seen(
    root_dir: Path, everything: dict[str, str], file: str, old: str, new: str, complaint: str
) -> None:
    assert old in everything[file]
    broken = {**everything, file: everything[file].replace(old, new, 1)}
    found = version_complaints(root_dir, broken)
    assert any(complaint in said for said in found), found
