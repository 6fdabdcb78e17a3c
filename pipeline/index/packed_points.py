"""Points as Qdrant's gRPC takes them, from matrices and payloads of JSON.

The client turns each number of a vector into a Python float, and each value of a payload into a
message: most of what a point costs it. Here a row of the matrix is copied once, as the bytes that
protobuf has on the wire for a `repeated float`; and what a payload's value is on the wire is kept
for the next point, since most values are the asset's and come again with each of its segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient
from qdrant_client import grpc as g
from qdrant_client import models as q

# Numbers of fields in Qdrant's points.proto; the test compares what is made with the client's own.
_PAYLOAD_ENTRY, _VECTORS = 3, 4  # of PointStruct
_VECTORS_NAMED, _NAMED_ENTRY = 2, 1
_VECTOR_DENSE, _DENSE_DATA = 101, 1
_KEY, _VALUE = 1, 2  # of an entry in a map
_WITH_LENGTH = 2  # the wire type of all of these
ENTRIES_KEPT = 8_192


class PointPacker:
    """Makes points of one collection."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, type, Any], bytes] = {}
        self._heads: dict[tuple[tuple[str, int], ...], tuple[bytes, list[bytes]]] = {}

    def point(
        self,
        point_id: str,
        vectors: Mapping[str, NDArray[np.float32]],
        payload: Mapping[str, Any],
    ) -> g.PointStruct:
        """A point with named vectors of one row each. Raises TypeError for a payload that is no
        JSON."""
        parts = [self._entry(name, value) for name, value in payload.items()]
        begin, heads = self._head(tuple((name, v.size) for name, v in vectors.items()))
        parts.append(begin)
        for head, vector in zip(heads, vectors.values(), strict=True):
            parts += (head, vector.astype("<f4", copy=False).tobytes())
        point: g.PointStruct = g.PointStruct.FromString(b"".join(parts))
        point.id.uuid = point_id
        return point

    def _head(self, sizes: tuple[tuple[str, int], ...]) -> tuple[bytes, list[bytes]]:
        """What stands before all vectors, and before each: it depends on their sizes alone."""
        known = self._heads.get(sizes)
        if known is None:
            heads = [_before_numbers(name, 4 * dimension) for name, dimension in sizes]
            length = sum(len(h) + 4 * d for h, (_, d) in zip(heads, sizes, strict=True))
            named = _field(_VECTORS_NAMED, length)
            known = _field(_VECTORS, len(named) + length) + named, heads
            self._heads[sizes] = known
        return known

    def _entry(self, name: str, value: Any) -> bytes:
        kind = type(value)
        key = (name, kind, repr(value) if kind is dict or kind is list else value)
        known = self._entries.get(key)
        if known is None:
            if len(self._entries) >= ENTRIES_KEPT:
                self._entries.clear()
            told = _value(value).SerializeToString()
            inner = _named(name) + _field(_VALUE, len(told)) + told
            known = self._entries[key] = _field(_PAYLOAD_ENTRY, len(inner)) + inner
        return known


def upsert_request(
    collection: str,
    points: Sequence[g.PointStruct],
    unless_later: int | None,
    ordering: q.WriteOrdering | None = None,
) -> g.UpsertPoints:
    """Write the points and wait; those stay as they are that have a sequence above
    `unless_later`, or that sequence and are live: `updates.unless_later_or_shown`, packed."""
    request = g.UpsertPoints(collection_name=collection, points=points, wait=True)
    if ordering is not None:
        kind = g.WriteOrderingType.Value(ordering.value.capitalize())
        request.ordering.CopyFrom(g.WriteOrdering(type=kind))
    if unless_later is not None:
        later = g.FieldCondition(key="sequence", range=g.Range(gt=unless_later))
        not_earlier = g.FieldCondition(key="sequence", range=g.Range(gte=unless_later))
        live = g.FieldCondition(key="live", match=g.Match(boolean=True))
        shown = g.Filter(must=[g.Condition(field=not_earlier), g.Condition(field=live)])
        conditions = [g.Condition(field=later), g.Condition(filter=shown)]
        request.update_filter.must_not.extend(conditions)
    return request


def send_upsert(client: QdrantClient, request: g.UpsertPoints, timeout_s: int) -> g.UpdateResult:
    """Past what the client would make of the points; its errors are gRPC's own."""
    answer: g.PointsOperationResponse = client.grpc_points.Upsert(request, timeout=timeout_s)
    return answer.result


def _before_numbers(name: str, length: int) -> bytes:
    """What stands before a named vector of so many bytes."""
    dense = _field(_DENSE_DATA, length)
    vector = _field(_VECTOR_DENSE, len(dense) + length)
    inner = _named(name) + _field(_VALUE, len(vector) + len(dense) + length) + vector + dense
    return _field(_NAMED_ENTRY, len(inner) + length) + inner


def _value(value: Any) -> g.Value:
    match value:
        case None:
            return g.Value(null_value=g.NullValue.NULL_VALUE)
        case bool():
            return g.Value(bool_value=value)
        case int():
            return g.Value(integer_value=value)
        case float():
            return g.Value(double_value=value)
        case str():
            return g.Value(string_value=value)
        case list():
            return g.Value(list_value=g.ListValue(values=map(_value, value)))
        case dict():
            fields = {name: _value(each) for name, each in value.items()}
            return g.Value(struct_value=g.Struct(fields=fields))
    raise TypeError(f"a payload holds JSON, not {type(value).__name__}")


def _named(name: str) -> bytes:
    encoded = name.encode()
    return _field(_KEY, len(encoded)) + encoded


def _field(number: int, length: int) -> bytes:
    """The begin of a field that has a length, as protobuf's encoding writes it."""
    return _varint(number << 3 | _WITH_LENGTH) + _varint(length)


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
