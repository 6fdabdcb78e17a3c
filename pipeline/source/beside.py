"""The prefix under which lies all that a key can belong together with. Pure.

As `select` pairs them: `dog.mp4`, `dog.en.srt`, `dog.jpg.txt` are found under `dog.` from any one
of them. The prefix is as long as can be, since `2026.01.02-hall.mp4` lies beside a year's others.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.settings import SourceSettings
from pipeline.source.select import LANGUAGE


def prefix_beside(key: str, settings: SourceSettings) -> str:
    """Of a media object or a sidecar, whichever the key is one of; of another key its own."""
    name = _without(key, settings.sidecar_suffixes)
    if name is not None:  # of `dog.jpg.txt` it is `dog.jpg`
        name = _without(name, settings.suffixes) or name
    else:
        name = _without(key, settings.suffixes)
    if name is None:
        return key
    shorter, dot, language = name.rpartition(".")
    if dot and LANGUAGE.fullmatch(language):
        name = shorter
    return name + "."


def prefixes_beside(keys: Iterable[str], settings: SourceSettings) -> list[str]:
    """The prefixes of all the keys in their order, none of which begins with another."""
    apart: list[str] = []
    for prefix in sorted({prefix_beside(key, settings) for key in keys}):
        if not apart or not prefix.startswith(apart[-1]):
            apart.append(prefix)
    return apart


def is_media(key: str, settings: SourceSettings) -> bool:
    """By its suffix, and the prefix that the settings have."""
    return key.startswith(settings.prefix) and _without(key, settings.suffixes) is not None


def _without(name: str, suffixes: Iterable[str]) -> str | None:
    """The name without the longest of the suffixes that it has; None where it has none."""
    lowered = name.lower()
    lengths = [len(suffix) for suffix in suffixes if lowered.endswith(suffix.lower())]
    return name[: len(name) - max(lengths)] if lengths else None
