"""infra/terraform: it parses, every name in it is declared, its policies are those of infra/iam."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hcl2
from lark.exceptions import LarkError

OUR_OWN = ("each", "count", "self", "path", "terraform")
_REFERENCE = re.compile(r"(?<![\w.\"-])([a-z_][\w-]*)\.([a-zA-Z_][\w-]*)(?:\.([a-zA-Z_][\w-]*))?")


def read(files: Mapping[str, str]) -> dict[str, list[Any]]:
    """Blocks of all files together, by their type. Raises ValueError for what does not parse."""
    blocks: dict[str, list[Any]] = {}
    for name, text in files.items():
        try:
            found = hcl2.loads(text)
        except LarkError as error:
            raise ValueError(f"{name}: {str(error).splitlines()[0]}") from error
        for kind, several in found.items():
            if not kind.startswith("__"):
                blocks.setdefault(kind, []).extend(several)
    return blocks


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("*.tf"))}


def complaints(files: Mapping[str, str], policies: Mapping[str, str]) -> list[str]:
    """What is wrong with a module's files; `policies` are those of infra/iam by their names."""
    try:
        blocks = read(files)
    except ValueError as error:
        return [str(error)]
    declared = _declared(blocks)
    wrong = []
    used = set()
    for place, expression in _expressions(blocks):
        for reference in references(expression):
            used.add(reference)
            if reference.split(".")[0] not in OUR_OWN and reference not in declared:
                wrong.append(f"{place}: there is no {reference}")
    wrong += [
        f"nobody uses {name}"
        for name in sorted(declared - used)
        if name.startswith(("var.", "local."))
    ]
    for variable in blocks.get("variable", ()):
        for name, body in variable.items():
            if "description" not in body:
                wrong.append(f"variable {name} says nothing")
    return wrong + list(_of_policies("\n".join(files.values()), policies))


def references(expression: str) -> set[str]:
    """`var.a`, `local.a`, `aws_x.a` and `data.aws_x.a` in an expression; text in quotes is none,
    but for what is put into it."""
    code = _code_of(expression)
    bound = set(re.findall(r"\bfor\s+(\w+)(?:\s*,\s*(\w+))?\s+in\b", code))
    own = {name for pair in bound for name in pair if name}
    found = set()
    for first, second, third in _REFERENCE.findall(code):
        if first in own:
            continue
        found.add(f"data.{second}.{third}" if first == "data" else f"{first}.{second}")
    return found


def _code_of(expression: str) -> str:
    """Without what stands in quotes, and with what is put in there by ${}."""
    code = []
    depth = [False]  # whether we are within quotes, one for each ${ that is open
    position = 0
    while position < len(expression):
        if expression.startswith("${", position):
            depth.append(False)
            code.append(" ")
            position += 2
            continue
        char = expression[position]
        if char == "}" and not depth[-1] and len(depth) > 1:
            depth.pop()
        elif char == '"':
            depth[-1] = not depth[-1]
        elif not depth[-1] and len(depth) > 1:
            code.append(char)
        position += 1
    return "".join(code)


def _declared(blocks: Mapping[str, list[Any]]) -> set[str]:
    plain = {name.strip('"') for one in blocks.get("variable", ()) for name in one}
    found = {f"var.{name}" for name in plain}
    found |= {
        f"local.{n}" for one in blocks.get("locals", ()) for n in one if not n.startswith("__")
    }
    for kind, prefix in (("resource", ""), ("data", "data.")):
        for one in blocks.get(kind, ()):
            for of_type, named in one.items():
                found |= {f"{prefix}{of_type}.{name}".replace('"', "") for name in named}
    return found


def _expressions(found: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(found, str):
        yield place, found
    elif isinstance(found, list):
        for one in found:
            yield from _expressions(one, place)
    elif isinstance(found, dict):
        for name, value in found.items():
            if not name.startswith("__"):
                yield from _expressions(value, f"{place}.{name}".replace('"', "").lstrip("."))


def put_in(text: str) -> dict[str, str]:
    """The words in capitals for which iam.tf puts names, and the names' expressions."""
    return dict(re.findall(r'"([A-Z]+(?:-[A-Z]+)+)", ([\w.]+)\)', text))


def _of_policies(text: str, policies: Mapping[str, str]) -> Iterator[str]:
    listed = re.search(r"policy_files\s*=\s*toset\(\[([^\]]*)\]\)", text)
    names = set(re.findall(r'"([\w-]+)"', listed[1])) if listed else set()
    if names != policies.keys():
        differing = ", ".join(sorted(names ^ policies.keys()))
        yield f"policies of infra/iam that are not made, or made and not there: {differing}"
    replaced = put_in(text)
    for name, policy in policies.items():
        made = policy
        for word, expression in replaced.items():
            made = made.replace(word, expression)
        if left := re.findall(r"\b[A-Z]+-[A-Z-]+\b", made):
            yield f"{name}: nothing is put in for {', '.join(sorted(set(left)))}"
        for statement in json.loads(policy)["Statement"]:
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                if "*" in action:
                    yield f"{name}: {action} is more than is needed"
            if statement["Resource"] == "*":
                yield f"{name}: {statement['Sid']} is of everything"
    for words in re.findall(r'resource "aws_iam_(?:role_)?policy" "(\w+)"', text):
        if not re.search(rf'"{words}" \{{[^}}]*for_each\s*=\s*local\.policies', text):
            yield f"policy {words} is none of infra/iam"
