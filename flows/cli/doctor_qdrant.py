"""Qdrant, as `sensedex doctor` finds it: whether it answers, and whether the collection there is
what the settings would make of it now.
"""

from __future__ import annotations

from collections.abc import Sequence

from flows.cli.finding import Finding, Verdict
from pipeline.index.collections import open_collections
from pipeline.index.connection import RECOMMENDED_SERVER
from pipeline.index.difference import Difference, differences, summary
from pipeline.index.vector_index import VectorIndex
from pipeline.models.spaces import cards_of, spaces_of
from pipeline.settings import Settings


def qdrant_finding(settings: Settings) -> Finding:
    """Raises what opening the index raises."""
    index = settings.index
    if index.url is None and not index.path.exists():
        return Finding("qdrant", Verdict.OK, f"local mode, in {index.path} from the first run on")
    with open_collections(index) as collections:
        version = collections.connection.version()
        opened = VectorIndex(collections.connection, index)
        there = opened.exists()
        points = f"{opened.count(exact=False)} live segments" if there else "no collection yet"
    where = index.url or f"local mode in {index.path}"
    found = f"{where}: {index.collection}, {points}"
    if version is not None and version < RECOMMENDED_SERVER:
        told, wanted = _told(version), _told(RECOMMENDED_SERVER)
        return Finding(
            "qdrant",
            Verdict.WARN,
            f"{found}; Qdrant {told}",
            f"Runs go with it. {wanted} or newer is recommended: it is the one that sensedex was "
            "tried with, killed and restarted; before 1.18 there is no turbo quantization.",
        )
    return Finding("qdrant", Verdict.OK, found)


def _told(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def collection_finding(settings: Settings) -> Finding:
    """On a server. A difference is a warning: the collection answers as it is."""
    index = settings.index
    with open_collections(index) as collections:
        name = collections.behind(index.collection)
        if name is None:
            return Finding("collection", Verdict.OK, "none yet: a run makes it as the settings say")
        found = collections.information(name)
        version = collections.connection.version()
    differ = differences(found, index, spaces_of(cards_of(settings)), version)
    is_there = f"{name}: {summary(found)}"
    if not differ:
        return Finding("collection", Verdict.OK, is_there)
    lines = [is_there, *map(str, differ)]
    return Finding("collection", Verdict.WARN, "\n".join(lines), _remedy(differ))


def _remedy(differ: Sequence[Difference]) -> str:
    rebuilt = [each.what for each in differ if each.by_rebuild]
    others = [each.what for each in differ if not each.by_rebuild]
    said = []
    if rebuilt:
        said.append(f"`sensedex rebuild` would change {', '.join(rebuilt)}, without any model.")
    if others:
        said.append(
            f"It cannot change {', '.join(others)}: embed by these encoders (docs/rebuild.md, To "
            "another encoder), or name the one that filled it."
        )
    return " ".join(said)
