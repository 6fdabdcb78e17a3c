"""infra/kubernetes: fields by Kubernetes and by KubeRay's CRD, and what has to agree."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.settings import load_settings
from tests.infra.kubernetes import QDRANT_CHART, complaints, pods_of, unlike
from tests.infra.kustomized import build
from tests.infra.released import locked_version

OVERLAYS = ("cpu", "gpu")
FROM_A_SECRET = "valueFrom: {secretKeyRef: {name: sensedex-ray, key: auth_token}}"


@pytest.fixture(scope="module")
def folder(root_dir: Path) -> Path:
    return root_dir / "infra/kubernetes"


@pytest.fixture(scope="module")
def ray_version(root_dir: Path) -> str:
    return locked_version(root_dir, "ray")


def by_kind(objects: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (one for one in objects if one["kind"] == kind)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_well(folder: Path, ray_version: str, overlay: str) -> None:
    objects = build(folder / "overlays" / overlay)
    assert complaints(objects, ray_version) == []
    assert {one["kind"] for one in objects} >= {
        "RayCluster", "RayJob", "Deployment", "ServiceAccount", "NetworkPolicy",
        "PodDisruptionBudget", "ConfigMap",
    }  # fmt: skip
    named = (one["metadata"].get("namespace") for one in objects)
    assert set(named) == {"sensedex"}


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("raycluster.yaml", "headGroupSpec:", "headGroupSpecs:", "no such field"),
        ("raycluster.yaml", "maxReplicas:", "maximumReplicas:", "no such field"),
        ("raycluster.yaml", "idleTimeoutSeconds: 300", "idleTimeout: 300", "no such field"),
        ("raycluster.yaml", "upscalingMode: Default", "upscalingMode: Fast", "not one of"),
        ("raycluster.yaml", "replicas: 0", 'replicas: "0"', "is no integer"),
        ("raycluster.yaml", "replicas: 0", "replicas: 99", "replicas outside their bounds"),
        ("raycluster.yaml", 'rayVersion: "2', 'rayVersion: "1', "and the lock has"),
        ("raycluster.yaml", "mode: token", "mode: disabled", "takes work from anybody"),
        ("raycluster.yaml", "enableInTreeAutoscaling: true", "suspend: false", "no autoscaling"),
        ("raycluster.yaml", 'num-cpus: "0"', 'num-cpus: "8"', "the head takes work"),
        ("raycluster.yaml", '"--grace-period", "60"', '"--grace-period", "120"', "killed before"),
        ("raycluster.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "Input should be True"),
        ("raycluster.yaml", "readOnlyRootFilesystem: true", "privileged: true", "Extra inputs"),
        ("raycluster.yaml", "app.kubernetes.io/part-of: sensedex", "a: b", "no network policy"),
        ("raycluster.yaml", "Token: true", "Token: false", "no token"),
        ("raycluster.yaml", "name: shm, mount", "name: memory, mount", "volumes and mounts"),
        ("raycluster.yaml", "Name: sensedex-head", "Name: head", "no account head"),
        ("rayjob.yaml", "JobFinishes: true", "JobFinishes: false", "suspends no job"),
        ("rayjob.yaml", "submissionMode: K8sJobMode", "submissionMode: 3", "is no string"),
        ("prefect-worker.yaml", "failureThreshold: 20", "failures: 20", "Extra inputs"),
        ("prefect-worker.yaml", "limits: {memory: 8Gi}", "limits: {memory: 9Gi}", "is taken back"),
        ("prefect-worker.yaml", "image: sensedex", "image: sensedex:latest", "no tag but latest"),
        ("prefect-worker.yaml", "image: sensedex", "image: other:1", "are to be of one image"),
        ("prefect-worker.yaml", FROM_A_SECRET, "value: abc", "in clear"),
        ("prefect-worker.yaml", "matchLabels: {app", "matchLabels: {a", "selector does not find"),
        ("prefect-worker.yaml", "sensedex-head-svc", "ray-head-svc", "service of no RayCluster"),
        ("prefect-worker.yaml", "containerPort: 9464", "containerPort: 94640", "less than 65536"),
        ("disruption.yaml", "ray.io/node-type: head", "ray.io/node-type: first", "finds no pod"),
        ("disruption.yaml", "minAvailable: 1", "minAvailable: 50%", "valid integer"),
        ("network.yaml", "protocol: TCP", "protocol: HTTP", "Input should be 'TCP'"),
        ("serviceaccount.yaml", "kind: ServiceAccount", "kind: Secret", "named by reference alone"),
        ("serviceaccount.yaml", "automount", "autoMount", "there is no such field"),
    ],
)  # fmt: skip
def test_the_check_sees_a_breach(
    folder: Path, ray_version: str, tmp_path: Path, file: str, old: str, new: str, complaint: str
) -> None:
    broken = tmp_path / "kubernetes"
    shutil.copytree(folder, broken)
    path = broken / "base" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    found = complaints(build(broken / "overlays/cpu"), ray_version)
    assert any(complaint in said for said in found), found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_job_has_the_cluster_of_the_nightly_runs(folder: Path, overlay: str) -> None:
    objects = build(folder / "overlays" / overlay)
    (cluster,), (job,) = by_kind(objects, "RayCluster"), by_kind(objects, "RayJob")
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]
    groups = [group["groupName"] for group in cluster["spec"]["workerGroupSpecs"]]
    assert groups == (["cpu", "gpu"] if overlay == "gpu" else ["cpu"])


def test_its_settings_are_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the collection of three nodes that values.yaml makes."""
    monkeypatch.delenv("SENSEDEX_ENCODE__PRECISION", raising=False)
    index = load_settings(folder / "base/sensedex.toml").index
    nodes = yaml.safe_load((folder / "qdrant/values.yaml").read_text())["replicaCount"]
    assert index.url is not None
    assert index.url.startswith("https://")
    assert index.shards == 2 * nodes
    assert index.replicas is not None
    assert index.write_consistency is not None
    assert index.write_consistency < index.replicas <= nodes
    assert index.api_key is None


def value_complaints(values: dict[str, Any]) -> list[str]:
    """What is wrong with the values for Qdrant's chart."""
    wrong = list(unlike(values, QDRANT_CHART, "values"))
    if values.get("replicaCount", 1) < 3:
        wrong.append("fewer than three nodes choose no leader when one goes")
    for key in ("apiKey", "readOnlyApiKey"):
        if not isinstance(values.get(key), dict) or "secretKeyRef" not in values[key]["valueFrom"]:
            wrong.append(f"{key} stands here in clear, or there is none")
    config = values.get("config", {})
    if not (config["service"]["enable_tls"] and config["cluster"]["p2p"]["enable_tls"]):
        wrong.append("without TLS")
    if not config["tls"]["cert"].removeprefix("./").startswith("tls/"):
        wrong.append("the certificate is not where it is mounted")
    return wrong


def test_the_values_are_values_of_the_chart(folder: Path) -> None:
    assert value_complaints(yaml.safe_load((folder / "qdrant/values.yaml").read_text())) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("replicaCount: 3", "replicas: 3", "values.replicas: there is no such field"),
        ("replicaCount: 3", "replicaCount: 2", "fewer than three nodes"),
        ("size: 200Gi", "size: 200", "is no str"),
        (r"apiKey:\n  valueFrom:\n.*\n", "apiKey: abc\n", "apiKey stands here in clear"),
        ("service:\n    enable_tls: true", "service:\n    enable_tls: false", "without TLS"),
        (r"cert: \./tls", "cert: ./certs", "not where it is mounted"),
    ],
)
def test_values_that_are_none_are_seen(folder: Path, old: str, new: str, complaint: str) -> None:
    text, count = re.subn(old, new, (folder / "qdrant/values.yaml").read_text(), count=1)
    assert count == 1
    found = value_complaints(yaml.safe_load(text))
    assert any(complaint in said for said in found), found


@pytest.mark.parametrize("component", ["eks", "gke"])
def test_a_component_gives_the_accounts_their_role(
    folder: Path, tmp_path: Path, component: str
) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: [{folder}/overlays/cpu]\ncomponents: [{folder}/components/{component}]\n"
    )
    accounts = list(by_kind(build(tmp_path), "ServiceAccount"))
    assert len(accounts) == 2
    assert all(len(account["metadata"]["annotations"]) == 1 for account in accounts)


def test_pods_find_the_nodes_that_karpenter_makes(folder: Path) -> None:
    pools = {
        node["metadata"]["labels"]["sensedex/pool"]: node["spec"].get("taints", [])
        for pool in build(folder / "components/karpenter")
        for node in [pool["spec"]["template"]]
    }
    pods = [t for one in build(folder / "overlays/gpu") for _, t in pods_of(one)]
    wanted = [pod["spec"] for pod in pods if "nodeSelector" in pod["spec"]]
    assert {spec["nodeSelector"]["sensedex/pool"] for spec in wanted} == pools.keys()
    for spec in wanted:
        tolerated = {(t["key"], t.get("value"), t["effect"]) for t in spec.get("tolerations", ())}
        for taint in pools[spec["nodeSelector"]["sensedex/pool"]]:
            assert (taint["key"], taint["value"], taint["effect"]) in tolerated


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("resources: [nothing.yaml]\n", "there is no nothing.yaml"),
        ("nameSuffix: x\n", "nameSuffix"),
        ("patches: [{target: {kind: Pod}, patch: '[]'}]\n", "which is not there"),
        ("images: [{name: a, newTag: b}]\n", "nobody uses the image a"),
    ],
)
def test_a_kustomization_that_is_none_is_seen(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "kustomization.yaml").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        build(tmp_path)
