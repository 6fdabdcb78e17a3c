"""The collections behind an alias: made, built, shown, dropped. What they are made with is in
`new_collection.py`, what is in them in `vector_index.py`.

The public name is an alias; the collections behind it, one at a time, are `<name>-1`, `<name>-2`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from qdrant_client import models as q

from pipeline.errors import IndexMismatch
from pipeline.index.building import Waiting, wait_built
from pipeline.index.connection import Connection, open_connection
from pipeline.index.new_collection import (
    DISTANCES,
    check_known,
    graph_of,
    payload_indexes,
    quantization_of,
    vector_params,
)
from pipeline.index.strict_mode import strict_mode
from pipeline.records import VectorSpace
from pipeline.settings_index import IndexSettings


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

    def information(self, name: str) -> q.CollectionInfo:
        """What a collection is made with, and how far it is."""
        with self.connection.call("reading the collection") as client:
            return client.get_collection(name)

    def vectors_of(self, name: str) -> dict[str, q.VectorParams]:
        """The named vectors of a collection or of the one that an alias shows."""
        params = self.information(name).config.params.vectors
        return dict(params) if isinstance(params, dict) else {}

    def create(self, name: str, spaces: Sequence[VectorSpace], *, graph: bool = True) -> None:
        """Create the collection as the settings say, where it is not there; without a graph it
        takes a bulk load faster, and `build_graph` is to follow."""
        wanted, version = self._settings, self.connection.version()
        check_known(wanted, version, self.connection.where)
        local = self.connection.local
        with self.connection.call("creating the collection") as client:
            if not client.collection_exists(name):
                client.create_collection(
                    name,
                    vectors_config=vector_params(wanted, spaces, local=local),
                    hnsw_config=graph_of(wanted) if graph else q.HnswConfigDiff(m=0),
                    quantization_config=quantization_of(wanted),
                    shard_number=wanted.shards,
                    replication_factor=wanted.replicas,
                    write_consistency_factor=wanted.write_consistency,
                    on_disk_payload=wanted.on_disk_payload,
                    strict_mode_config=strict_mode() if wanted.strict_mode and not local else None,
                )
            with warnings.catch_warnings():
                # Local mode filters without indexes and says so for each of them.
                warnings.simplefilter("ignore", UserWarning)
                on_disk = None if local else wanted.on_disk_payload_indexes
                for field, schema in payload_indexes(version, on_disk):
                    client.create_payload_index(name, field, schema)
        self.connection.make_ready()

    def build_graph(self, name: str) -> None:
        """Turn the graph on, or leave it on; `wait_built` waits for it."""
        with self.connection.call("turning the graph on") as client:
            client.update_collection(name, hnsw_config=graph_of(self._settings))

    def wait_built(self, name: str, waiting: Waiting) -> None:
        """Return when the server has nothing left to optimise; calls `waiting` meanwhile, with how
        far it is and how long it may take. Raises IndexUnavailable where the collection is broken.
        """
        wait_built(self.connection, name, waiting)

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
