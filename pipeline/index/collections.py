"""The collections behind an alias: made, built, shown, dropped. What is in them: `vector_index.py`.

The public name is an alias; the collections behind it, one at a time, are `<name>-1`, `<name>-2`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from qdrant_client import models as q

from pipeline.errors import IndexMismatch, IndexUnavailable
from pipeline.index.connection import Connection, open_connection
from pipeline.payload_fields import IndexKind
from pipeline.payload_schema import FIELDS
from pipeline.records import VectorSpace
from pipeline.settings import IndexSettings

INDEX_TYPES = {
    IndexKind.KEYWORD: q.PayloadSchemaType.KEYWORD,
    IndexKind.BOOL: q.PayloadSchemaType.BOOL,
    IndexKind.INTEGER: q.PayloadSchemaType.INTEGER,
}
INDEXED_FIELDS = {field.name: INDEX_TYPES[field.index] for field in FIELDS if field.index}
DISTANCES = {"cosine": q.Distance.COSINE, "dot": q.Distance.DOT}
POLL_EVERY_S = 0.5


@contextmanager
def open_collections(settings: IndexSettings) -> Iterator[Collections]:
    """Raises IndexUnavailable where the server or the folder cannot be had."""
    with open_connection(settings) as connection:
        yield Collections(connection, settings)


class Collections:
    """What there is on a server or in a folder, and which of it an alias shows."""

    def __init__(self, connection: Connection, settings: IndexSettings) -> None:
        self.connection = connection
        self._settings = settings

    def names(self) -> set[str]:
        with self.connection.call("listing collections") as client:
            return {found.name for found in client.get_collections().collections}

    def behind(self, alias: str) -> str | None:
        """The collection that the alias shows; None where there is no such alias."""
        with self.connection.call("reading aliases") as client:
            for found in client.get_aliases().aliases:
                if found.alias_name == alias:
                    return str(found.collection_name)
        return None

    def aliases_of(self, name: str) -> set[str]:
        with self.connection.call("reading aliases") as client:
            found = client.get_aliases().aliases
        return {each.alias_name for each in found if each.collection_name == name}

    def vectors_of(self, name: str) -> dict[str, q.VectorParams]:
        """The named vectors of a collection or of the one that an alias shows."""
        with self.connection.call("reading the collection") as client:
            params = client.get_collection(name).config.params.vectors
        return dict(params) if isinstance(params, dict) else {}

    def create(self, name: str, spaces: Sequence[VectorSpace], *, graph: bool = True) -> None:
        """Create the collection as the settings say, where it is not there; without a graph it
        takes a bulk load faster, and `build_graph` is to follow."""
        wanted = self._settings
        vectors = {
            space.vector_name: q.VectorParams(
                size=space.dimension, distance=DISTANCES[wanted.distance], on_disk=wanted.on_disk
            )
            for space in spaces
        }
        with self.connection.call("creating the collection") as client:
            if not client.collection_exists(name):
                client.create_collection(
                    name,
                    vectors_config=vectors,
                    hnsw_config=_graph(wanted) if graph else q.HnswConfigDiff(m=0),
                    quantization_config=_quantization(wanted),
                    shard_number=wanted.shards,
                    replication_factor=wanted.replicas,
                )
            with warnings.catch_warnings():
                # Local mode filters without indexes and says so for each of them.
                warnings.simplefilter("ignore", UserWarning)
                for field, schema in INDEXED_FIELDS.items():
                    client.create_payload_index(name, field, schema)
        self.connection.make_ready()

    def build_graph(self, name: str) -> None:
        """Turn the graph on, or leave it on; `wait_built` waits for it."""
        with self.connection.call("turning the graph on") as client:
            client.update_collection(name, hnsw_config=_graph(self._settings))

    def wait_built(self, name: str, waiting: Callable[[int, int], None]) -> None:
        """Return when the server has nothing left to optimise; calls `waiting` with the numbers of
        indexed vectors and of points. Raises IndexUnavailable where the collection is broken."""
        in_a_row = 0  # it may say green for a moment before it begins
        while True:
            with self.connection.call("waiting for the graph") as client:
                found = client.get_collection(name)
                if found.status is q.CollectionStatus.GREY:  # stopped, until it is asked to go on
                    client.update_collection(name, optimizers_config=q.OptimizersConfigDiff())
            if found.status is q.CollectionStatus.RED:
                raise IndexUnavailable(
                    f"Qdrant says that collection {name!r} is red: {found.optimizer_status}.",
                    remedy="Look at the server's log, then run again.",
                )
            in_a_row = in_a_row + 1 if found.status is q.CollectionStatus.GREEN else 0
            if in_a_row >= 2 or self.connection.local:
                return
            waiting(found.indexed_vectors_count or 0, found.points_count or 0)
            time.sleep(POLL_EVERY_S)

    def show(self, alias: str, name: str) -> None:
        """Point the alias to the collection, in one operation: readers see the one or the other.

        Raises IndexMismatch where a collection has the alias's name.
        """
        if alias in self.names():
            raise IndexMismatch(
                f"{alias!r} is a collection, not an alias: it cannot be made to show another.",
                remedy="Choose another public name (--collection), and let readers use that.",
            )
        steps: list[Any] = []
        if self.behind(alias) is not None:
            gone = q.DeleteAlias(alias_name=alias)
            steps.append(q.DeleteAliasOperation(delete_alias=gone))
        made = q.CreateAlias(collection_name=name, alias_name=alias)
        steps.append(q.CreateAliasOperation(create_alias=made))
        with self.connection.call("flipping the alias") as client:
            client.update_collection_aliases(change_aliases_operations=steps)

    def drop(self, name: str) -> None:
        with self.connection.call("deleting a collection") as client:
            client.delete_collection(name)


def named_vectors(configuration: Mapping[str, Any]) -> dict[str, q.VectorParams]:
    """From the JSON values by which the embedded engine keeps them."""
    return {name: q.VectorParams(**values) for name, values in configuration.items()}


def check_fits(
    name: str, there: Mapping[str, q.VectorParams], wanted: Sequence[VectorSpace]
) -> None:
    """Raises IndexMismatch that names the vector, what is there and what is wanted."""
    for space in wanted:
        found = there.get(space.vector_name)
        if found is None or found.size != space.dimension:
            is_there = "no such vector" if found is None else f"{found.size} dimensions"
            raise IndexMismatch(
                f"Collection {name!r}: vector {space.vector_name!r} has {is_there}, and "
                f"{space.encoder} gives {space.dimension}.",
                remedy="Name another collection (--collection), or go back to the encoder that "
                "filled this one; docs/rebuild.md has the way from one encoder to another.",
            )
        if found.distance not in DISTANCES.values():
            raise IndexMismatch(
                f"Collection {name!r}: vector {space.vector_name!r} is compared by "
                f"{found.distance}, not by cosine or dot product.",
                remedy="Name another collection (--collection).",
            )


def _graph(settings: IndexSettings) -> q.HnswConfigDiff:
    return q.HnswConfigDiff(m=settings.hnsw_m, ef_construct=settings.hnsw_ef_construct)


def _quantization(settings: IndexSettings) -> q.ScalarQuantization | q.BinaryQuantization | None:
    if settings.quantization == "int8":
        kind = q.ScalarQuantizationConfig(type=q.ScalarType.INT8, quantile=0.99, always_ram=True)
        return q.ScalarQuantization(scalar=kind)
    if settings.quantization == "binary":
        return q.BinaryQuantization(binary=q.BinaryQuantizationConfig(always_ram=True))
    return None
