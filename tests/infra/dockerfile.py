"""A linter for infra/images: those of hadolint's rules that matter here, and a few of our own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SECRET = re.compile(r"(KEY|TOKEN|PASSWORD|SECRET|AUTH)", re.IGNORECASE)
ONLY_JSON = ("ENTRYPOINT", "CMD")


@dataclass
class Stage:
    """One FROM with what follows; `parent` is another stage's name, or an image."""

    name: str
    parent: str
    lines: list[tuple[str, str]] = field(default_factory=list)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Word and arguments of each; continued lines are one, comments are none."""
    whole = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or not line.strip():
            continue
        whole += line.rstrip()
        if whole.endswith("\\"):
            whole = whole[:-1] + " "
            continue
        word, _, rest = whole.strip().partition(" ")
        yield word.upper(), rest.strip()
        whole = ""


def stages(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first FROM with their defaults, and the stages in their order."""
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for word, rest in instructions(text):
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            image = re.sub(r"\$\{(\w+)\}", lambda m: arguments.get(m[1], ""), image)
            found.append(Stage(name.strip() or str(len(found)), image.strip()))
        elif not found and word == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value
        else:
            found[-1].lines.append((word, rest))
    return arguments, found


def lint(text: str, targets: tuple[str, ...]) -> list[str]:
    """What is wrong with a Dockerfile of which these stages are built."""
    _, found = stages(text)
    by_name = {stage.name: stage for stage in found}
    wrong = [f"there is no target {name}" for name in targets if name not in by_name]
    for stage in found:
        wrong += _of_stage(stage, by_name)
    for name in targets:
        if name in by_name:
            wrong += _of_target(name, _with_parents(by_name[name], by_name))
    return wrong


def _with_parents(stage: Stage, by_name: Mapping[str, Stage]) -> list[tuple[str, str]]:
    parent = by_name.get(stage.parent)
    return (_with_parents(parent, by_name) if parent is not None else []) + stage.lines


def _of_stage(stage: Stage, by_name: Mapping[str, Stage]) -> Iterator[str]:
    if stage.parent not in by_name:
        if "@sha256:" not in stage.parent:
            yield f"{stage.name}: {stage.parent or 'an unnamed image'} is not pinned by its digest"
        if re.search(r":latest\b", stage.parent) or ":" not in stage.parent.split("@")[0]:
            yield f"{stage.name}: {stage.parent} has no tag but latest"
    for word, rest in stage.lines:
        if word == "ADD":
            yield f"{stage.name}: ADD fetches and unpacks; COPY takes a file as it is"
        if word == "RUN":
            yield from (f"{stage.name}: {said}" for said in shell_complaints(rest))
        if word in ("ARG", "ENV") and SECRET.search(re.split(r"[= ]", rest)[0]):
            yield f"{stage.name}: {word} {re.split(r'[= ]', rest)[0]} would stay in the image"
        if word == "WORKDIR" and not rest.startswith("/"):
            yield f"{stage.name}: WORKDIR {rest} is not absolute"
        if word in ONLY_JSON and not rest.startswith("["):
            yield f"{stage.name}: {word} as text goes through a shell, which takes no signal"
        source = re.search(r"--from=(\S+)", rest) if word == "COPY" else None
        if source and source[1] not in by_name:
            yield f"{stage.name}: COPY from {source[1]}, which is no stage"


def _of_target(name: str, lines: list[tuple[str, str]]) -> Iterator[str]:
    users = [rest for word, rest in lines if word == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        yield f"{name}: runs as root"
    elif not users[-1].split(":")[0].isdigit():
        yield f"{name}: USER {users[-1]} is a name, which Kubernetes cannot see not to be root"
    if not any(word == "HEALTHCHECK" and rest != "NONE" for word, rest in lines):
        yield f"{name}: no HEALTHCHECK"
    if not any(word == "ENTRYPOINT" for word, _ in lines):
        yield f"{name}: no ENTRYPOINT"
    shells = [rest for word, rest in lines if word == "SHELL"]
    piped = any(word == "RUN" and re.search(r"[^|]\|[^|]", rest) for word, rest in lines)
    if piped and not any("pipefail" in shell for shell in shells):
        yield f"{name}: a pipe in RUN without pipefail"


def shell_complaints(text: str) -> list[str]:
    """Of a RUN line, or of a script that one calls."""
    wrong = []
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for call in re.findall(r"apt-get install[^\n;&|]*", code):
        if "--no-install-recommends" not in call:
            wrong.append("apt-get install without --no-install-recommends")
        if not re.search(r"(^|\s)(-y|--yes)(\s|$)", call):
            wrong.append("apt-get install that asks")
    if "apt-get update" in code and "rm -rf /var/lib/apt/lists" not in code:
        wrong.append("apt's lists stay in the layer")
    if re.search(r"\bsudo\b", code):
        wrong.append("sudo")
    if re.search(r"\b(curl|wget) [^\n]*https?://", code):
        wrong.append("something is fetched by its address")
    flat = re.sub(r"\\\n\s*", " ", code)
    for call in re.findall(r"\bpip install [^\n]*|^ +pip_install [^\n]*", flat, flags=re.M):
        held = ("--require-hashes", "--index-url", ".whl", '"$@"')
        if not any(word in call for word in held):
            wrong.append(f"packages without their hashes: {call.strip()}")
    return wrong
