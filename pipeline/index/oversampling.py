"""The number of quantized candidates that a search scores in full, where no setting says so.

As many as the collection's quantization needs: what it loses, oversampling gives back, and of
binary vectors far more is lost than of int8's (docs/performance.md, "Recall of the index").
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from qdrant_client import models as q

from pipeline.index.connection import Connection
from pipeline.settings_index import IndexSettings

# The least that found 0.99 of the nearest in measurements; without quantization it does nothing.
FITTING: Mapping[str, float] = {
    "none": 1.0,
    "int8": 2.0,
    "turbo": 2.0,
    "product": 8.0,
    "binary": 16.0,
}
# A reader that stays open sees a rebuild's flip to another quantization after this.
LOOKED_AT_FOR_S = 60.0


def quantization_of(found: q.CollectionInfo) -> str:
    """Of the collection as it is, whatever the settings say of a new one, in their words."""
    named = found.config.params.vectors
    several = named.values() if isinstance(named, dict) else ()
    for owner in (found.config, *several):
        if (kind := getattr(owner, "quantization_config", None)) is not None:
            name = next(iter(type(kind).model_fields))
            return "int8" if name == "scalar" else name
    return "none"


class Oversampling:
    """Of the searches of one collection."""

    def __init__(self, connection: Connection, settings: IndexSettings, name: str) -> None:
        self._connection = connection
        self._settings = settings
        self._name = name
        self._fitting = 1.0
        self._looked_at = -LOOKED_AT_FOR_S

    def now(self) -> float:
        """`index.oversampling`, or what fits the collection. Raises IndexUnavailable."""
        if self._settings.oversampling is not None:
            return self._settings.oversampling
        if self._connection.local:
            return 1.0
        if time.monotonic() - self._looked_at >= LOOKED_AT_FOR_S:
            with self._connection.call("reading the collection") as client:
                kind = quantization_of(client.get_collection(self._name))
            self._fitting = FITTING.get(kind, FITTING["int8"])
            self._looked_at = time.monotonic()
        return self._fitting
