"""Checks before a run: its settings, and that the collection is that of the state.

The state says of an object that it is indexed, and a run believes it. Where the index is another
one (a new server, a folder that was deleted, a typing error) every object would be called
unchanged, and no search would find it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from encoders.card import EncoderCard
from pipeline.errors import Permanent
from pipeline.models.spaces import spaces_of
from pipeline.planning.plan import RunPlan, check_source_and_encoders
from pipeline.records import Action, VectorSpace
from pipeline.settings import Settings
from pipeline.settings_index import IndexSettings
from pipeline.state.objects import CurrentState


class IndexLost(Permanent):
    """The state knows segments, and there is no collection that could have them."""

    default_code = "index_lost"


class IndexUnreadable(Permanent):
    """The folder of the embedded engine is not as that engine leaves it."""

    default_code = "index_unreadable"


def check_settings(settings: Settings) -> tuple[EncoderCard, ...]:
    """What can be known to be wrong before anything starts; no model is loaded. The encoders'
    cards, the first one's first. Raises SettingsError."""
    cards = check_source_and_encoders(settings)
    check_queries(settings)
    return cards


def check_queries(settings: Settings) -> None:
    """Raises SettingsError where the list that `search.queries` names is none."""
    if settings.search.queries is not None:
        from pipeline.search.labelled import read_queries  # what reads a query's media: a second

        read_queries(settings.search.queries)


def check_index(settings: Settings, planned: RunPlan) -> None:
    """Reads only, and opens no embedded engine. A plan that calls nothing unchanged (another
    encoder) takes nothing on trust; where there is something to do, the collection must be one that
    can take it. Raises IndexLost, IndexMismatch, IndexUnavailable."""
    state = planned.state
    known = state.totals.get("segments", 0)
    if known and planned.summary.objects[Action.UNCHANGED] and not _is_there(settings.index):
        raise index_lost(settings, state)
    if not planned.nothing_to_do:
        _check_fits(settings.index, spaces_of(planned.cards))


def index_lost(settings: Settings, state: CurrentState) -> IndexLost:
    """The error for a state that knows segments, without a collection to have them."""
    from pipeline.index.errors import place_of

    return IndexLost(
        f"There is no collection {settings.index.collection!r} in {place_of(settings.index)}, but "
        f"by the state in {state.store.location} it has {state.totals['segments']} segments.",
        remedy="If the settings are wrong, mend index.url, index.path or index.collection. If the "
        "collection is lost, `sensedex verify --repair` loads it again, without a model.",
    )


def _check_fits(index: IndexSettings, wanted: Sequence[VectorSpace]) -> None:
    from pipeline.index.collections import check_fits, named_vectors
    from pipeline.index.vector_index import open_index

    if index.url is None:
        found = _in_folder(index.path, index.collection)
        if found is not None:
            check_fits(index.collection, named_vectors(found["vectors"]), wanted)
        return
    with open_index(index) as opened:
        opened.check_fits(wanted)


def _is_there(index: IndexSettings) -> bool:
    if index.url is None:
        return holds_collection(index.path, index.collection)
    from pipeline.index.vector_index import open_index  # Qdrant's client takes a second to import

    with open_index(index) as opened:
        return opened.exists()


def holds_collection(folder: Path, name: str) -> bool:
    """Whether the embedded engine's folder shows one of this name; the folder is not opened."""
    return _in_folder(folder, name) is not None


def _in_folder(folder: Path, name: str) -> Mapping[str, Any] | None:
    """The configuration of the collection of this name, or of the one that an alias shows."""
    try:
        facts = json.loads((folder / "meta.json").read_bytes())
        found: Mapping[str, Any] | None = facts["collections"].get(facts["aliases"].get(name, name))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise IndexUnreadable(
            f"{folder / 'meta.json'} is not what the embedded engine writes: {error}.",
            remedy="Name another folder (index.path), or move this one away: `sensedex verify "
            "--repair` makes it again.",
        ) from error
    return found
