"""The prefix under which lies all that a key can belong together with. Pure.

As `select` pairs them: `dog.mp4`, `dog.en.srt`, `dog.jpg.txt` are found under `dog.` from any one
of them. The prefix is as long as can be, since `2026.01.02-hall.mp4` lies beside a year's others.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.places import Scope
from pipeline.records import Place
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
    if dot and LANGUAGE.fullmatch(language):  # of `dog.jpg.en.srt` it is `dog.jpg`, too
        name = _without(shorter, settings.suffixes) or shorter
    return name + "."


def scopes_beside(places: Iterable[Place], settings: SourceSettings) -> list[Scope]:
    """Where to list for all of them, in the order of bucket and prefix, no scope in another."""
    apart: list[Scope] = []
    for scope in sorted({Scope(of, prefix_beside(key, settings)) for of, key in places}):
        if not apart or not apart[-1].covers(scope):
            apart.append(scope)
    return apart


def is_media(place: Place, settings: SourceSettings) -> bool:
    """By the suffix of its key, where it is in one of the scopes that the settings have."""
    return settings.covers(*place) and _without(place[1], settings.suffixes) is not None


def _without(name: str, suffixes: Iterable[str]) -> str | None:
    """The name without the longest of the suffixes that it has; None where it has none."""
    lowered = name.lower()
    lengths = [len(suffix) for suffix in suffixes if lowered.endswith(suffix.lower())]
    return name[: len(name) - max(lengths)] if lengths else None
