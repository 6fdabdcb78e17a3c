"""Words as they are compared: of keys and of the texts beside media, and of what is searched for.

A word is found as a whole, in any case and with any accents of the same letters. `IMG_2041.jpg`
holds `img_2041.jpg`, `img_2041`, `img`, `2041` and `jpg`: what a person types of a name is one of
them. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

WORDS = "words"
"""The payload field that holds a window's words, made when a point is loaded."""
MOST_WORDS = 400  # of a window: a page of subtitles; what is more is no caption
LONGEST = 80
MOST_ASKED = 8
_PART = re.compile(r"[^\W_]+")
_JOINED = re.compile(r"[^\s/\\,;:!?\"'()\[\]{}<>|]+")
COMMON = frozenset(
    word
    for line in (
        "an and are as at be but by for from he her his in is it its my of on or our she that the",
        "their them they this to was we were with without you your",
    )
    for word in line.split()
)
"""What stands in most sentences and tells none apart."""


def words_in(text: str) -> dict[str, None]:
    """The words of a text in their order, each once: those joined by `_`, `-` or `.` whole and in
    their parts."""
    found: dict[str, None] = {}
    for joined in _JOINED.findall(_folded(text)):
        for word in _forms(joined):
            if len(word) <= LONGEST:
                found[word] = None
    return found


def words_of_window(payload: Mapping[str, Any]) -> list[str]:
    """What a window's point can be found by: words of its key and of its text."""
    found = dict(_words_of_key(str(payload.get("key") or "")))
    if text := payload.get("text"):
        found |= words_in(str(text))
    return list(found)[:MOST_WORDS]


def words_asked(text: str) -> tuple[str, ...]:
    """Those of a search that tell windows apart, at most `MOST_ASKED`: what is joined (`img_2041`)
    is asked for whole, and no common word is."""
    asked: dict[str, None] = {}
    for joined in _JOINED.findall(_folded(text)):
        word = joined.strip("._-+#*~`=&%")
        single = len(word) == 1 and not word.isdigit()
        if word and word not in COMMON and not single and len(word) <= LONGEST:
            asked[word] = None
    return tuple(asked)[:MOST_ASKED]


@lru_cache(maxsize=1024)
def _words_of_key(key: str) -> dict[str, None]:
    return words_in(key)


def _forms(joined: str) -> Iterator[str]:
    word = joined.strip("._-+#*~`=&%")
    if not word:
        return
    yield word
    stem = word.rpartition(".")[0]
    if stem:
        yield stem
    yield from _PART.findall(word)


def _folded(text: str) -> str:
    """In one case, without accents: `Café` and `cafe` are one word."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in apart if not unicodedata.combining(c))
