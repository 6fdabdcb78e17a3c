"""Builds the kustomizations of infra/kubernetes as far as they go: resources, components, patches
by JSON 6902, images, a namespace, one generated ConfigMap.

`make infra-check` builds them by kustomize itself and holds the two against each other
(tests/infra/test_tools.py).
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

KNOWN = {
    "apiVersion", "kind", "namespace", "resources", "components", "labels", "configMapGenerator",
    "generatorOptions", "images", "patches",
}  # fmt: skip
CLUSTER_WIDE = {"NodePool"}


def build(folder: Path) -> list[dict[str, Any]]:
    """The objects that `kustomize build FOLDER` gives, in the order of the files.

    Raises ValueError for what is not there, or is nothing that this knows.
    """
    objects: list[dict[str, Any]] = []
    _put(folder, objects)
    return objects


def _put(folder: Path, objects: list[dict[str, Any]]) -> None:
    file = folder / "kustomization.yaml"
    said = yaml.safe_load(file.read_text())
    if unknown := said.keys() - KNOWN:
        raise ValueError(f"{file}: {', '.join(sorted(unknown))}")
    for name in (*said.get("resources", ()), *said.get("components", ())):
        path = folder / name
        if path.is_dir():
            _put(path, objects)
        elif path.is_file():
            objects += [copy.deepcopy(o) for o in yaml.safe_load_all(path.read_text()) if o]
        else:
            raise ValueError(f"{file}: there is no {name}")
    for made in said.get("configMapGenerator", ()):
        data = {name: (folder / name).read_text() for name in made["files"]}
        metadata = {"name": made["name"]}
        objects.append(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        )
    for patch in said.get("patches", ()):
        text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text()
        aimed = [o for o in objects if _is_meant(o, patch["target"])]
        if not aimed:
            raise ValueError(f"{file}: a patch for {patch['target']}, which is not there")
        for one in aimed:
            for step in yaml.safe_load(text):
                _change(one, step)
    for image in said.get("images", ()):
        tag = f"@{image['digest']}" if "digest" in image else f":{image['newTag']}"
        if not _set_image(objects, image["name"], f"{image.get('newName', image['name'])}{tag}"):
            raise ValueError(f"{file}: nobody uses the image {image['name']}")
    for one in objects:
        if "namespace" in said and one["kind"] not in CLUSTER_WIDE:
            one["metadata"]["namespace"] = said["namespace"]
        for label in said.get("labels", ()):
            one["metadata"].setdefault("labels", {}).update(label["pairs"])


def _is_meant(one: dict[str, Any], target: dict[str, str]) -> bool:
    group = one["apiVersion"].rpartition("/")[0]
    return (
        re.fullmatch(target.get("kind", ".*"), one["kind"]) is not None
        and re.fullmatch(target.get("name", ".*"), one["metadata"]["name"]) is not None
        and target.get("group", group) == group
    )


def _change(one: Any, step: dict[str, Any]) -> None:
    *way, last = [
        part.replace("~1", "/").replace("~0", "~") for part in step["path"][1:].split("/")
    ]
    for part in way:
        one = one[int(part)] if isinstance(one, list) else one[part]
    value = copy.deepcopy(step.get("value"))
    if step["op"] == "add" and isinstance(one, list):
        one.insert(len(one) if last == "-" else int(last), value)
    elif step["op"] in ("add", "replace") and isinstance(one, dict):
        if step["op"] == "replace" and last not in one:
            raise ValueError(f"nothing to replace at {step['path']}")
        one[last] = value
    else:
        raise ValueError(f"a patch that is not known here: {step['op']} {step['path']}")


def _set_image(found: Any, name: str, new: str) -> int:
    if isinstance(found, list):
        return sum(_set_image(one, name, new) for one in found)
    if not isinstance(found, dict):
        return 0
    count = 0
    for key, value in found.items():
        if key in ("containers", "initContainers"):
            for container in value:
                if container.get("image") == name:
                    container["image"] = new
                    count += 1
        count += _set_image(value, name, new)
    return count
