"""infra/compose: its fields, and that what it names is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.settings import load_settings
from tests.infra.composed import complaints, read
from tests.infra.roles import roles_of, script
from tests.support.s3_server import S3Server


@pytest.fixture
def folder(root_dir: Path) -> Path:
    return root_dir / "infra/compose"


def test_the_file_is_well(root_dir: Path, folder: Path) -> None:
    assert complaints((folder / "compose.yaml").read_text(), folder, roles_of(root_dir)) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "restart: unless-stopped\n    environment:",
            "restarts: yes\n    environment:",
            "Extra inputs",
        ),
        ("qdrant:v1.19.0", "qdrant:latest", "qdrant: qdrant/qdrant:latest has no tag"),
        (r'ports: \["127.0.0.1:6333', 'ports: ["6333', "open to the network"),
        (r"GF_SECURITY_ADMIN_PASSWORD: .*", "GF_SECURITY_ADMIN_PASSWORD: admin", "in clear"),
        (r"prefect:\$\{POSTGRES_PASSWORD[^}]*\}@", "prefect:prefect@", "has a password in clear"),
        (r"\$\{RAY_TOKEN:\?", "${TOKEN_OF_RAY:?", "TOKEN_OF_RAY is wanted"),
        (r"\./fill.py:", "./fil.py:", "there is no ./fil.py"),
        (r'"qdrant:/qdrant', '"qdrants:/qdrant', "no volume qdrants"),
        (r"secrets: \[qdrant_key\]", "secrets: [key]", "no secret key"),
        (r"ray-head: \{condition", "ray: {condition", "waits for ray, which is no service"),
        (
            r'  deploy:\n    <<: \*sensedex\n    restart: "no"',
            "  deploy:\n    <<: *sensedex",
            "started again",
        ),
        (r"healthcheck:\n      test: \[\"CMD-SHELL\", \"pg_(.*\n){4}", "", "which has no check"),
        (r"http://prefect:4200", "http://server:4200", "speaks to server, which is no service"),
        (r"RAY_HEAD: ray-head:6379", "RAY_HEAD: head:6379", "speaks to head, which is no service"),
        (r"read_only: true.*", "read_only: false", "may be written to"),
        (r"cap_drop: \[ALL\]", "cap_drop: []", "rights that it does not need"),
        (r'command: \["worker"\]', 'command: ["workers"]', "start.sh knows no workers"),
        (r"retries: 20", "retries: many", "should be a valid integer"),
        (r"\n  grafana:\n$", "\n  grafana:\n  spare:\n", "nobody uses the volume spare"),
    ],
)
def test_the_check_sees_a_breach(
    root_dir: Path, folder: Path, old: str, new: str, complaint: str
) -> None:
    text = (folder / "compose.yaml").read_text()
    broken, count = re.subn(old, new, text, count=1)
    assert count == 1
    found = complaints(broken, folder, roles_of(root_dir))
    assert any(complaint in said for said in found), found


def test_prometheus_scrapes_what_is_there(folder: Path) -> None:
    services = read((folder / "compose.yaml").read_text()).services
    scraped = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    named = [
        target for job in scraped for c in job.get("static_configs", ()) for target in c["targets"]
    ]
    named += [
        f"{n}:0" for job in scraped for c in job.get("dns_sd_configs", ()) for n in c["names"]
    ]
    assert {target.split(":")[0] for target in named} <= services.keys()
    port = services["worker"].environment["SENSEDEX_METRICS__PORT"]
    assert f"worker:{port}" in named


def test_its_settings_are_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENSEDEX_ENCODE__PRECISION", raising=False)
    settings = load_settings(folder / "sensedex.toml")
    services = read((folder / "compose.yaml").read_text()).services
    assert settings.source.endpoint_url == "http://bucket:8333"
    assert settings.index.url == "http://qdrant:6333"
    assert {"127.0.0.1:6333:6333", "127.0.0.1:6334:6334"} <= set(services["qdrant"].ports)
    assert settings.index.grpc_port == 6334
    assert settings.index.api_key is None


def test_secrets_are_made_once(folder: Path, tmp_path: Path) -> None:
    """Each is its own, and a second start changes none."""
    shutil.copy(folder / "up.sh", tmp_path)
    command = ["bash", tmp_path / "up.sh", "secrets"]
    subprocess.run(command, check=True, capture_output=True)
    made = (tmp_path / ".env").read_text()
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / ".env").read_text() == made
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    values = dict(line.split("=", 1) for line in made.splitlines())
    wanted = re.findall(r"\$\{(\w+):\?", (folder / "compose.yaml").read_text())
    assert set(wanted) <= values.keys()
    random = [value for name, value in values.items() if name != "BUCKET_ACCESS_KEY"]
    assert len(set(random)) == len(random)
    assert all(len(value) >= 48 for value in random)


def test_the_bucket_is_filled(folder: Path, s3_server: S3Server, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    overrides = {
        "source.bucket": "media",
        "source.endpoint_url": s3_server.url,
        "state.location": "s3://state/sensedex",
    }
    settings = load_settings(folder / "sensedex.toml", overrides)
    fill = script(folder / "fill.py").fill
    fill(settings, tmp_path)
    fill(settings, tmp_path)
    client = s3_server.client()
    assert [row["Key"] for row in client.list_objects_v2(Bucket="media")["Contents"]] == ["a.jpg"]
    assert client.head_bucket(Bucket="state")["ResponseMetadata"]["HTTPStatusCode"] == 200
