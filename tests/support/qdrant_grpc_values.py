"""What requests by gRPC ask of a Qdrant server, as the JSON values that REST has for the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel
from qdrant_client import grpc as g
from qdrant_client import models as q
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc


def plain(value: Any) -> Any:
    """A model of the client's as JSON values; a null that was given is a value."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def filter_of(request: Any, name: str = "filter") -> Any:
    if not request.HasField(name):
        return None
    return plain(GrpcToRest.convert_filter(getattr(request, name)))


def ordered(request: Any) -> str:
    """The order of writing that is asked for, as REST has it in the address."""
    if not request.HasField("ordering"):
        return ""
    return f"?ordering={g.WriteOrderingType.Name(request.ordering.type).lower()}"


def consistent(request: Any) -> str:
    """How many copies are to agree, alike."""
    if not request.HasField("read_consistency"):
        return ""
    wanted = request.read_consistency
    if wanted.HasField("factor"):
        return f"?consistency={wanted.factor}"
    return f"?consistency={g.ReadConsistencyType.Name(wanted.type).lower()}"


def ids_of(points: Any) -> list[Any]:
    return [GrpcToRest.convert_point_id(point) for point in points]


def record(found: q.Record) -> Any:
    """As the server gives it: without a payload that was not asked for."""
    return RestToGrpc.convert_record(found.model_copy(update={"payload": found.payload or {}}))


def question(request: Any) -> dict[str, Any]:
    """A search, alone, of a batch or by groups, as JSON values."""
    params = request.params if request.HasField("params") else None
    query = request.query if request.HasField("query") else None
    body = {
        "query": None if query is None else plain(GrpcToRest.convert_query(query)),
        "using": request.using if request.HasField("using") else None,
        "filter": filter_of(request),
        "limit": request.limit if request.HasField("limit") else None,
        "params": None if params is None else plain(GrpcToRest.convert_search_params(params)),
        **selected(request),
    }
    return {name: value for name, value in body.items() if value is not None}


def selected(request: Any) -> dict[str, Any]:
    """What of the points is asked for."""
    payload = vector = None
    if request.HasField("with_payload"):
        payload = plain(GrpcToRest.convert_with_payload_selector(request.with_payload))
    if request.HasField("with_vectors"):
        vector = plain(GrpcToRest.convert_with_vectors_selector(request.with_vectors))
    return {"with_payload": payload, "with_vector": vector}


_CONFIGURED: Mapping[str, Callable[[Any], Any]] = {
    "hnsw_config": GrpcToRest.convert_hnsw_config_diff,
    "optimizers_config": GrpcToRest.convert_optimizers_config_diff,
    "quantization_config": GrpcToRest.convert_quantization_config,
    "strict_mode_config": GrpcToRest.convert_strict_mode_config,
}


def configured(request: Any) -> dict[str, Any]:
    return {
        name: plain(convert(getattr(request, name)))
        for name, convert in _CONFIGURED.items()
        if request.HasField(name)
    }
