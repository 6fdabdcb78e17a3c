"""infra/kubernetes/qdrant/monitor.yaml: a field of the operator's each, and it asks what is there.

Rendered by helm, the chart's own monitor asks a server with TLS by http: no metrics, and an alert.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from pipeline.settings import load_settings
from tests.infra.kubernetes import FACTS, unlike

OPERATOR = json.loads((FACTS / "service-monitor-0.93.0.json").read_text())["spec"]


def complaints(infra: Path, monitor: dict[str, Any]) -> Iterator[str]:
    """What is wrong with it beside the chart's values, the settings and the rules."""
    spec = monitor["spec"]
    yield from unlike(spec, OPERATOR, "spec")
    values = yaml.safe_load((infra / "kubernetes/qdrant/values.yaml").read_text())
    (endpoint,) = spec["endpoints"]
    if values["metrics"]["serviceMonitor"]["enabled"]:
        yield "the chart's own monitor asks, too"
    if (endpoint.get("scheme") == "https") != values["config"]["service"]["enable_tls"]:
        yield "asks by another protocol than the server speaks"
    key = values["readOnlyApiKey"]["valueFrom"]["secretKeyRef"]
    if endpoint["authorization"]["credentials"] != key:
        yield "has another key than the one that may only read"
    mounted = {volume["secret"]["secretName"] for volume in values["additionalVolumes"]}
    if endpoint["tlsConfig"]["ca"]["secret"]["name"] not in mounted:
        yield "its authority is not that of the server"
    asked = urlsplit(load_settings(infra / "kubernetes/base/sensedex.toml").index.url or "")
    if endpoint["tlsConfig"]["serverName"] != asked.hostname:
        yield "holds the certificate against a name by which nobody else asks"
    job = spec["selector"]["matchLabels"].get(spec["jobLabel"])
    rules = (infra / "monitoring/rules.yml").read_text()
    if {job} != set(re.findall(r'up\{job="(\w+)"\}', rules)):
        yield "the rules ask for another job"


@pytest.fixture(scope="module")
def infra(root_dir: Path) -> Path:
    return root_dir / "infra"


def test_it_asks_what_is_there(infra: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENSEDEX_ENCODE__PRECISION", raising=False)
    text = (infra / "kubernetes/qdrant/monitor.yaml").read_text()
    assert list(complaints(infra, yaml.safe_load(text))) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("scheme: https", "scheme: http", "another protocol"),
        ("scheme: https", "scheme: tls", "not one of"),
        ("serverName:", "servername:", "no such field"),
        (r"serverName: .*", "serverName: qdrant", "by which nobody else asks"),
        ("key: read-only-api-key", "key: api-key", "may only read"),
        ("name: qdrant-tls", "name: other-tls", "not that of the server"),
        ("jobLabel: .*", "jobLabel: app.kubernetes.io/component", "another job"),
    ],
)
def test_what_is_wrong_is_seen(
    infra: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, complaint: str
) -> None:
    monkeypatch.delenv("SENSEDEX_ENCODE__PRECISION", raising=False)
    text, count = re.subn(old, new, (infra / "kubernetes/qdrant/monitor.yaml").read_text())
    assert count == 1
    try:
        found = list(complaints(infra, yaml.safe_load(text)))
    except KeyError:  # a field that is spelled otherwise is not there
        found = list(unlike(yaml.safe_load(text)["spec"], OPERATOR, "spec"))
    assert any(complaint in said for said in found), found
