"""Whether the collection that the settings name can be the one that the state is about.

The state says of an object that it is indexed, and a run believes it. Where the index is another
one (a new server, a folder that was deleted, a typing error) every object would be called
unchanged, and no search would find it.
"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.errors import Permanent
from pipeline.planning import Planned
from pipeline.records import Action
from pipeline.settings import IndexSettings, Settings


class IndexLost(Permanent):
    """The state knows segments, and there is no collection that could have them."""

    default_code = "index_lost"


def check_index(settings: Settings, planned: Planned) -> None:
    """Reads only, and opens no embedded engine. A plan that calls nothing unchanged (another
    encoder) takes nothing on trust. Raises IndexLost, IndexUnavailable."""
    state = planned.state
    known = state.totals.get("segments", 0)
    if known and planned.summary.objects[Action.UNCHANGED] and not _is_there(settings.index):
        from pipeline.qdrant_errors import place_of

        raise IndexLost(
            f"There is no collection {settings.index.collection!r} in {place_of(settings.index)}, "
            f"but by the state in {state.store.location} it has {known} segments.",
            remedy="If the settings are wrong, mend index.url, index.path or index.collection. If "
            "the collection is lost, `sensedex verify --repair` loads it again, without a model.",
        )


def _is_there(index: IndexSettings) -> bool:
    if index.url is None:
        return holds_collection(index.path, index.collection)
    from pipeline.qdrant import open_index  # Qdrant's client takes a second to import

    with open_index(index) as opened:
        return opened.exists()


def holds_collection(folder: Path, name: str) -> bool:
    """Whether the embedded engine's folder shows one of this name; the folder is not opened."""
    try:
        facts = json.loads((folder / "meta.json").read_bytes())
    except FileNotFoundError:
        return False
    return name in facts["collections"] or name in facts["aliases"]
