"""Patterns of keys, as a shell writes them: `*` within a folder, `**` over all of them.

*.mp4            films of the top folder alone
**/*.mp4         of every folder, the top one with them
2026/**          all below 2026/
take-?.wav       one character that is no slash
[ab]*.jpg        one of these; [!ab] none of these
\\*.jpg          a star of the name's own
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


def translate(pattern: str) -> str:
    """A regular expression for the whole key. Nothing is refused: a bracket that is not closed is
    a bracket."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        begins = pattern[at]
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            parts.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            parts.append(".*")
            at += 2
        elif begins == "*":
            parts.append("[^/]*")
            at += 1
        elif begins == "?":
            parts.append("[^/]")
            at += 1
        elif begins == "[" and (end := _class_end(pattern, at)) > 0:
            parts.append(_class(pattern[at + 1 : end]))
            at = end + 1
        elif begins == "\\" and at + 1 < len(pattern):
            parts.append(re.escape(pattern[at + 1]))
            at += 2
        else:
            parts.append(re.escape(begins))
            at += 1
    return "".join(parts)


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a key is one that any of the patterns means."""
    every = [translate(pattern) for pattern in patterns]
    if not every:
        return lambda _: False
    # A key may hold a line break, which is a character as any other.
    compiled = re.compile("|".join(f"(?:{one})" for one in every), re.DOTALL)
    return lambda key: compiled.fullmatch(key) is not None


def _class_end(pattern: str, begin: int) -> int:
    """Where the bracket closes that opens at `begin`; 0 for nowhere. One that stands first, or
    first after `!`, is a member."""
    first = begin + 2 if pattern[begin + 1 : begin + 2] == "!" else begin + 1
    return max(0, pattern.find("]", first + 1))


def _class(members: str) -> str:
    negated, members = members.startswith("!"), members.removeprefix("!")
    # A range counts as one only where it goes up, as [a-z] does; else each is itself.
    inside = ""
    at = 0
    while at < len(members):
        low, high = members[at], members[at + 2 : at + 3]
        if members[at + 1 : at + 2] == "-" and high and low <= high:
            inside += f"{re.escape(low)}-{re.escape(high)}"
            at += 3
        else:
            inside += re.escape(low)
            at += 1
    return f"[^/{inside}]" if negated else f"(?!/)[{inside}]"
