"""Commands of a page, as it has them: the lines of its blocks ```sh, in their order.

A block that no test can run says so behind the word, with its reason: ```sh not run: needs a GPU.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

NOT_RUN = "not run:"
_BLOCK = re.compile(r"^(?P<indent> *)```sh(?P<info>[^\n]*)\n(?P<body>.*?)^ *```$", re.M | re.S)
_IN_A_SENTENCE = re.compile(r"`(sensedex [^`]+)`")
_ON_A_LINE = re.compile(r"^ *(?:\$ )?(sensedex .*)$", re.M)
_BESIDE_BLOCKS = re.compile(r"^    (?:sensedex|prefect|make|pip|docker|bash|kubectl) .*$", re.M)


@dataclass(frozen=True, slots=True)
class Block:
    """Of the page's line `line` on. `reason` says why it is not run; else it is empty."""

    line: int
    commands: tuple[str, ...]
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.commands:
            raise ValueError(f"line {self.line}: a block without a command")


def blocks(page: str) -> Iterator[Block]:
    """Raises ValueError for a block that says something else than why it is not run, or nothing."""
    for found in _BLOCK.finditer(page):
        line = page.count("\n", 0, found.start()) + 1
        info = found["info"].strip()
        reason = info.removeprefix(NOT_RUN).strip()
        if info and (not info.startswith(NOT_RUN) or not reason):
            raise ValueError(f"line {line}: {info!r} is not `{NOT_RUN} REASON`")
        lines = found["body"].replace("\\\n", " ").splitlines()
        yield Block(line, tuple(one.strip() for one in lines if words_of(one)), reason)


def words_of(command: str) -> list[str]:
    """As a shell reads them; none of a comment."""
    return shlex.split(command, comments=True)


def beside_blocks(page: str) -> list[str]:
    """Lines that look like commands, and stand in no such block: nobody would run them."""
    return [line.strip() for line in _BESIDE_BLOCKS.findall(_BLOCK.sub("", page))]


def typed_lines(page: str) -> list[str]:
    """Every `sensedex ...` that stands on a line of its own to be typed, without its comment; what
    follows a prompt is a sample with its answer, and is left out."""
    found = re.findall(r"^ *(sensedex .*)$", page.replace("\\\n", " "), re.M)
    return [shlex.join(words_of(one)) for one in found]


def named_commands(page: str) -> list[str]:
    """Every command `sensedex ...` of a page, in a sentence or on a line of its own, without what
    it is piped into."""
    joined = page.replace("\\\n", " ")
    found = [" ".join(one.split()) for one in _IN_A_SENTENCE.findall(joined)]
    found += _ON_A_LINE.findall(_IN_A_SENTENCE.sub("", joined))
    return [re.split(r" [|>&] ", one)[0] for one in found]
