"""Everything of the code that infra/ and its pages name: settings, commands, ports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

PAGES = ("docs/deploy.md", "docs/runbook.md", "docs/howto.md", "docs/tutorial.md", "README.md")
SUFFIXES = {".yaml", ".yml", ".toml", ".sh", ".md", ".tf", ".py", ".json", ""}
# Variables of ours that are no setting: the checkout's folder, and those of infra/'s own scripts.
NO_SETTING = {"SENSEDEX_FOLDER", "SENSEDEX_IMAGE", "SENSEDEX_TARGET", "SENSEDEX_INSTALL_FFMPEG"}


def texts(root: Path) -> dict[str, str]:
    """Every file of infra/ that a person writes, and the pages about it."""
    files = [
        path
        for path in sorted((root / "infra").rglob("*"))
        if path.is_file()
        and path.suffix in SUFFIXES
        and path.relative_to(root).parts[1] not in ("demo", "eval")
        and path.name != ".env"
    ]
    files += [root / page for page in PAGES]
    return {path.relative_to(root).as_posix(): path.read_text() for path in files}


def settings_in(text: str, parts: set[str]) -> set[str]:
    """`part.field` of each setting that the text names: by variable, by --set, or in backquotes."""
    by_variable = re.findall(r"\bSENSEDEX_([A-Z]+)__([A-Z_0-9]+)\b", text)
    found = {f"{part.lower()}.{field.lower()}" for part, field in by_variable}
    found |= set(re.findall(r"--set '?([a-z_]+\.[a-z_0-9]+)=", text))
    named = re.findall(r"`([a-z_]+\.[a-z_0-9]+)(?: = [^`]*)?`", text)
    of_parts = {name for name in named if name.split(".")[0] in parts}
    return found | {name for name in of_parts if f".{name.split('.')[1]}" not in SUFFIXES}


def odd_variables(text: str) -> set[str]:
    """Variables that begin as ours do, and are no setting that anybody knows."""
    return (
        set(re.findall(r"\bSENSEDEX_[A-Z0-9_]+\b(?<!_)", text))
        - NO_SETTING
        - {name for name in re.findall(r"\bSENSEDEX_[A-Z0-9_]+\b", text) if "__" in name}
    )


def commands_in(name: str, text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each call of `sensedex` with its command and options, where the text is code."""
    if name.endswith(".md"):
        fenced = re.findall(r"^ *```sh[^\n]*\n(.*?)^ *```$", text, flags=re.M | re.S)
        text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)
        code = [line for line in text.splitlines() if line.startswith("    ")]
        code += [line for block in fenced for line in block.splitlines()]
        code += re.findall(r"`([^`]+)`", text)
    else:
        code = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        code += re.findall(r"`(sensedex [^`]+)`", text)
    for line in code:
        if name.endswith(".sh"):
            line = re.sub(r'"[^"]*"', '""', line)  # words for a person
        # JSON's lists of words, as a container's command is one.
        flat = re.sub(r'["\[\]]', " ", re.sub(r'"\s*,\s*"', " ", line))
        for call in re.findall(
            r"(?:^|[\s(])(?<!-n )(?<!namespace )sensedex +([a-z]+(?:\s+[^|;&#\n]*)?)", flat
        ):
            words = call.split()
            yield words[0], tuple(word.split("=")[0] for word in words if word.startswith("--"))


def command_complaints(texts: Mapping[str, str], commands: Mapping[str, set[str]]) -> list[str]:
    """Calls of what is no command, or of options that it has not."""
    wrong = []
    for name, text in texts.items():
        for command, options in commands_in(name, text):
            if command not in commands:
                wrong.append(f"{name}: there is no `sensedex {command}`")
                continue
            wrong += [
                f"{name}: `sensedex {command}` has no {option}"
                for option in options
                if option not in commands[command]
            ]
    return wrong


def setting_complaints(texts: Mapping[str, str], fields: set[str], parts: set[str]) -> list[str]:
    """Settings that there are none of, and variables that look like some."""
    wrong = []
    for name, text in texts.items():
        wrong += [
            f"{name}: there is no setting {field}"
            for field in sorted(settings_in(text, parts) - fields)
        ]
        wrong += [f"{name}: nobody reads {variable}" for variable in sorted(odd_variables(text))]
    return wrong
