"""The checks of infra/kubernetes: fields, KubeRay's own by its CRD, and what must agree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tests.infra.composed import SECRET
from tests.infra.pods import RAY, SPECS, WITHOUT_SPEC, Metadata, PodSpec, PodTemplate, object_of

FACTS = Path(__file__).parent / "facts"
KUBERAY = json.loads((FACTS / "kuberay-1.7.0.json").read_text())
QDRANT_CHART = json.loads((FACTS / "qdrant-chart-1.19.0.json").read_text())["values"]
PART_OF = {"app.kubernetes.io/part-of": "sensedex"}
TYPES = {
    "string": str, "str": str, "boolean": bool, "bool": bool, "integer": int, "int": int,
    "object": dict, "array": list,
}  # fmt: skip


def unlike(found: Any, facts: Any, place: str) -> Iterator[str]:
    """Where what is found differs from the facts: a tree of names, with a type or values each."""
    if isinstance(facts, dict) and "each" in facts:
        for number, one in enumerate(found):
            yield from unlike(one, facts["each"], f"{place}[{number}]")
    elif isinstance(facts, dict):
        for name, value in found.items():
            if name not in facts:
                yield f"{place}.{name}: there is no such field"
            else:
                yield from unlike(value, facts[name], f"{place}.{name}")
    elif isinstance(facts, list):
        if found not in facts:
            yield f"{place}: {found!r}, not one of {facts}"
    elif facts in TYPES and type(found) is not TYPES[facts]:
        yield f"{place}: {found!r} is no {facts}"


def pods_of(one: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each pod template of an object, with its place in it."""
    spec = one.get("spec", {})
    if object_of(one) == ("apps/v1", "Deployment"):
        yield "template", spec["template"]
    if object_of(one) in RAY:
        if "submitterPodTemplate" in spec:
            yield "submitter", spec["submitterPodTemplate"]
        cluster = spec.get("rayClusterSpec", spec)
        yield "head", cluster["headGroupSpec"]["template"]
        for group in cluster["workerGroupSpecs"]:
            yield f"group {group['groupName']}", group["template"]


def complaints(objects: list[dict[str, Any]], ray_version: str) -> list[str]:
    """What is wrong with the objects of one overlay, of which `ray_version` is the lock's Ray."""
    wrong = []
    for one in objects:
        name = f"{one.get('kind')} {one.get('metadata', {}).get('name')}"
        wrong += [f"{name}: {said}" for said in _of_object(one, ray_version)]
    return wrong or list(_between(objects))  # of what is well by itself


def _said(model: type[BaseModel], found: Any, place: str) -> Iterator[str]:
    try:
        model.model_validate(found)
    except ValidationError as error:
        for one in error.errors():
            yield f"{place}.{'.'.join(map(str, one['loc']))}: {one['msg']}"


def _of_object(one: dict[str, Any], ray_version: str) -> Iterator[str]:
    kind = object_of(one)
    yield from _said(Metadata, one.get("metadata", {}), "metadata")
    if kind[1] == "Secret":
        yield "a Secret stands in the files; it is named by reference alone"
        return
    if kind in WITHOUT_SPEC:
        rest = one.keys() - {"apiVersion", "kind", "metadata"} - WITHOUT_SPEC[kind]
        yield from (f"{name}: there is no such field" for name in sorted(rest))
        return
    if kind in RAY:
        if said := list(unlike(one["spec"], KUBERAY[kind[1]], "spec")):
            yield from said
            return
        yield from _of_ray(one["spec"].get("rayClusterSpec", one["spec"]), ray_version)
        if kind[1] == "RayJob":
            yield from _of_job(one["spec"])
    elif (model := SPECS.get(kind)) is not None:
        yield from _said(model, one["spec"], "spec")
    else:
        yield f"{kind[0]} {kind[1]} is nothing that is known here"
    for place, template in pods_of(one):
        yield from _said(PodTemplate, template, place)
        if not PART_OF.items() <= template.get("metadata", {}).get("labels", {}).items():
            yield f"{place}: no network policy finds it, without {PART_OF}"
        for container in template["spec"]["containers"]:
            yield from (f"{place}: {said}" for said in _of_container(container))


def _of_container(container: dict[str, Any]) -> Iterator[str]:
    image = container.get("image", "")
    if not re.search(r"(:[\w.-]+|@sha256:\w{64})$", image) or image.endswith(":latest"):
        yield f"{image} has no tag but latest"
    for variable in container.get("env", ()):
        if SECRET.search(variable["name"]) and "value" in variable:
            yield f"{variable['name']} stands here in clear"
    resources = container.get("resources", {})
    if resources.get("requests", {}).get("memory") != resources.get("limits", {}).get("memory"):
        yield f"{container['name']}: memory that is limited and not asked for is taken back"


def _of_ray(cluster: dict[str, Any], ray_version: str) -> Iterator[str]:
    if cluster.get("rayVersion") != ray_version:
        yield f"rayVersion {cluster.get('rayVersion')}, and the lock has {ray_version}"
    if cluster.get("authOptions", {}).get("mode") != "token":
        yield "Ray takes work from anybody: authOptions.mode is not token"
    if not cluster.get("enableInTreeAutoscaling"):
        yield "no autoscaling"
    head = cluster["headGroupSpec"]
    if head["rayStartParams"].get("num-cpus") != "0":
        yield "the head takes work"
    if any(not isinstance(v, str) for v in head["rayStartParams"].values()):
        yield "rayStartParams are text"
    if head["template"]["spec"].get("automountServiceAccountToken") is not True:
        yield "the autoscaler beside the head has no token"
    for group in cluster["workerGroupSpecs"]:
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            yield f"group {group['groupName']}: replicas outside their bounds"
        spec = group["template"]["spec"]
        first = spec["containers"][0]
        told = first.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
        grace = int(told[-1]) if told and told[-1].isdigit() else 0
        if not 0 < grace < (spec.get("terminationGracePeriodSeconds") or 30):
            yield f"group {group['groupName']}: killed before it has stopped"


def _of_job(job: dict[str, Any]) -> Iterator[str]:
    if job.get("suspend") and not job.get("shutdownAfterJobFinishes"):
        yield "KubeRay suspends no job whose cluster stays"
    if job.get("suspend") and "clusterSelector" in job:
        yield "KubeRay suspends no job of another's cluster"


def _between(objects: list[dict[str, Any]]) -> Iterator[str]:
    accounts = {o["metadata"]["name"] for o in objects if o["kind"] == "ServiceAccount"}
    templates = [(o["metadata"]["name"], place, t) for o in objects for place, t in pods_of(o)]
    clusters = {o["metadata"]["name"] for o in objects if o["kind"] == "RayCluster"}
    for name, place, template in templates:
        account = template["spec"].get("serviceAccountName")
        if account is not None and account not in accounts:
            yield f"{name} {place}: no account {account}"
        for variable in template["spec"]["containers"][0].get("env", ()):
            head = variable.get("value", "").removesuffix(":6379")
            if variable["name"] == "RAY_HEAD" and head.removesuffix("-head-svc") not in clusters:
                yield f"{name}: {head} is the service of no RayCluster"
    labels = [{**t["metadata"]["labels"], **_of_kuberay(place)} for _, place, t in templates]
    for one in objects:
        if one["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
            spec = one["spec"]
            selector = spec.get("selector", spec.get("podSelector")).get("matchLabels", {})
            if not any(selector.items() <= pod.items() for pod in labels):
                yield f"{one['kind']} {one['metadata']['name']}: finds no pod"
    specs = [PodSpec.model_validate(template["spec"]) for _, _, template in templates]
    images = {container.image for spec in specs for container in spec.containers}
    if len(images) > 1:
        yield f"Ray's nodes and the worker are to be of one image, and there are {sorted(images)}"


def _of_kuberay(place: str) -> dict[str, str]:
    """The labels that KubeRay gives to a pod of its own."""
    if place == "head":
        return {"ray.io/node-type": "head"}
    return {"ray.io/node-type": "worker"} if place.startswith("group") else {}
