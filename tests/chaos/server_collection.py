"""The collection of a real server, as it was at a moment: kept, and put back again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models as q

from encoders.modality import Modality
from pipeline.index.collections import Collections
from pipeline.index.connection import open_connection
from pipeline.records import VectorSpace
from pipeline.settings import IndexSettings

POINTS_A_REQUEST = 256


class ServerCollection:
    """That behind the settings' public name. Nobody else may use it."""

    def __init__(self, settings: IndexSettings) -> None:
        self.settings = settings
        self._spaces: Sequence[VectorSpace] = ()
        self._points: list[q.PointStruct] = []
        self._name = ""

    def drop(self) -> None:
        """The alias goes with it."""
        with open_connection(self.settings) as connection:
            collections = Collections(connection, self.settings)
            if name := collections.behind(self.settings.collection):
                collections.drop(name)

    def keep(self) -> None:
        """Remember what is in it."""
        with open_connection(self.settings) as connection:
            collections = Collections(connection, self.settings)
            name = collections.behind(self.settings.collection)
            assert name is not None
            self._name = name
            self._spaces = [
                VectorSpace(vector, Modality.VISION, params.size, "kept", "kept")
                for vector, params in collections.vectors_of(name).items()
            ]
            with connection.call("keeping") as client:
                found, more = client.scroll(
                    name, limit=10_000, with_payload=True, with_vectors=True
                )
        assert more is None
        self._points = [
            q.PointStruct(id=point.id, payload=point.payload, vector=_named(point.vector))
            for point in found
        ]

    def restore(self) -> None:
        """Make it anew, with what was kept."""
        self.drop()
        with open_connection(self.settings) as connection:
            collections = Collections(connection, self.settings)
            collections.create(self._name, self._spaces)
            with connection.call("restoring") as client:
                for start in range(0, len(self._points), POINTS_A_REQUEST):
                    some = self._points[start : start + POINTS_A_REQUEST]
                    client.upsert(self._name, some, wait=True)
            collections.show(self.settings.collection, self._name)


def _named(vector: Any) -> dict[str, Any]:
    return dict(vector) if isinstance(vector, dict) else {}
