"""The gRPC side of the stand-in for a Qdrant server: the client's own stubs, turned into the
requests that `tests.support.qdrant_server` answers, so that both sides are one server.
"""
# ruff: noqa: N802  methods have the names of the service's calls

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from qdrant_client import grpc as g
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import (
    collections_service_pb2_grpc,
    points_service_pb2_grpc,
    qdrant_pb2_grpc,
)

from tests.support.qdrant_grpc_values import (
    configured,
    consistent,
    filter_of,
    ids_of,
    ordered,
    plain,
    question,
    record,
    selected,
)
from tests.support.qdrant_server import VERSION, StandIn

Context = grpc.ServicerContext
TOO_LARGE_BYTES = 64 * 1024 * 1024
PLAIN = ("shard_number", "on_disk_payload", "replication_factor", "write_consistency_factor")


class _Asked:
    """Passes a request on; what the stand-in raises becomes a code of gRPC."""

    def __init__(self, server: StandIn) -> None:
        self._server = server

    def ask(self, context: Context, method: str, path: str, body: Mapping[str, Any]) -> Any:
        data = json.dumps({k: v for k, v in body.items() if v is not None}).encode()
        try:
            return self._server.answer(method, path, data)
        except KeyError as error:
            _abort(context, grpc.StatusCode.NOT_FOUND, str(error.args[0]))
        except ValueError as error:
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))


def _abort(context: Context, code: grpc.StatusCode, words: str) -> NoReturn:
    context.abort(code, words)
    raise AssertionError


class _Points(points_service_pb2_grpc.PointsServicer):  # type: ignore[misc]
    def __init__(self, asked: _Asked) -> None:
        self._ask = asked.ask

    def _of(self, request: Any, what: str = "") -> str:
        return f"/collections/{request.collection_name}/points{what}"

    def Upsert(self, request: g.UpsertPoints, context: Context) -> Any:
        points = [plain(GrpcToRest.convert_point_struct(point)) for point in request.points]
        body = {"points": points, "update_filter": filter_of(request, "update_filter")}
        done = self._ask(context, "PUT", self._of(request, ordered(request)), body)
        return g.PointsOperationResponse(result=RestToGrpc.convert_update_result(done))

    def Delete(self, request: g.DeletePoints, context: Context) -> Any:
        chosen = plain(GrpcToRest.convert_points_selector(request.points))
        done = self._ask(context, "POST", self._of(request, "/delete" + ordered(request)), chosen)
        return g.PointsOperationResponse(result=RestToGrpc.convert_update_result(done))

    def UpdateBatch(self, request: g.UpdateBatchPoints, context: Context) -> Any:
        steps = [GrpcToRest.convert_points_update_operation(step) for step in request.operations]
        body = {"operations": plain(steps)}
        done = self._ask(context, "POST", self._of(request, "/batch" + ordered(request)), body)
        return g.UpdateBatchResponse(result=map(RestToGrpc.convert_update_result, done))

    def Get(self, request: g.GetPoints, context: Context) -> Any:
        body = {"ids": ids_of(request.ids), **selected(request)}
        found = self._ask(context, "POST", self._of(request), body)
        return g.GetResponse(result=map(record, found))

    def Scroll(self, request: g.ScrollPoints, context: Context) -> Any:
        body = {
            "filter": filter_of(request),
            "limit": request.limit if request.HasField("limit") else None,
            "offset": ids_of([request.offset])[0] if request.HasField("offset") else None,
            "order_by": (
                plain(GrpcToRest.convert_order_by(request.order_by))
                if request.HasField("order_by")
                else None
            ),
            **selected(request),
        }
        found = self._ask(context, "POST", self._of(request, "/scroll"), body)
        following = found.next_page_offset
        return g.ScrollResponse(
            result=map(record, found.points),
            next_page_offset=(
                None if following is None else RestToGrpc.convert_extended_point_id(following)
            ),
        )

    def Facet(self, request: g.FacetCounts, context: Context) -> Any:
        body = {
            "key": request.key,
            "filter": filter_of(request),
            "limit": request.limit if request.HasField("limit") else None,
        }
        path = f"/collections/{request.collection_name}/facet"
        found = self._ask(context, "POST", path, body)
        hits = [
            g.FacetHit(value=RestToGrpc.convert_facet_value(hit.value), count=hit.count)
            for hit in found.hits
        ]
        return g.FacetResponse(hits=hits)

    def Count(self, request: g.CountPoints, context: Context) -> Any:
        body = {"filter": filter_of(request), "exact": request.exact}
        found = self._ask(context, "POST", self._of(request, "/count"), body)
        return g.CountResponse(result=RestToGrpc.convert_count_result(found))

    def Query(self, request: g.QueryPoints, context: Context) -> Any:
        body = question(request)
        found = self._ask(context, "POST", self._of(request, "/query" + consistent(request)), body)
        return g.QueryResponse(result=map(RestToGrpc.convert_scored_point, found.points))

    def QueryBatch(self, request: g.QueryBatchPoints, context: Context) -> Any:
        body = {"searches": list(map(question, request.query_points))}
        path = self._of(request, "/query/batch" + consistent(request))
        answers = self._ask(context, "POST", path, body)
        return g.QueryBatchResponse(
            result=[
                g.BatchResult(result=map(RestToGrpc.convert_scored_point, one.points))
                for one in answers
            ]
        )

    def QueryGroups(self, request: g.QueryPointGroups, context: Context) -> Any:
        body = {
            **question(request),
            "group_by": request.group_by,
            "group_size": request.group_size if request.HasField("group_size") else None,
        }
        path = self._of(request, "/query/groups" + consistent(request))
        found = self._ask(context, "POST", path, body)
        groups = map(RestToGrpc.convert_point_group, found.groups)
        return g.QueryGroupsResponse(result=g.GroupsResult(groups=groups))

    def CreateFieldIndex(self, request: g.CreateFieldIndexCollection, context: Context) -> Any:
        schema: Any = g.FieldType.Name(request.field_type).removeprefix("FieldType").lower()
        if request.HasField("field_index_params"):
            schema = plain(GrpcToRest.convert_payload_schema_params(request.field_index_params))
        body = {"field_name": request.field_name, "field_schema": schema}
        path = f"/collections/{request.collection_name}/index"
        done = self._ask(context, "PUT", path, body)
        return g.PointsOperationResponse(result=RestToGrpc.convert_update_result(done))


class _Collections(collections_service_pb2_grpc.CollectionsServicer):  # type: ignore[misc]
    def __init__(self, asked: _Asked) -> None:
        self._ask = asked.ask

    def List(self, _request: Any, context: Context) -> Any:
        found = self._ask(context, "GET", "/collections", {})
        described = map(RestToGrpc.convert_collection_description, found.collections)
        return g.ListCollectionsResponse(collections=described)

    def ListAliases(self, _request: Any, context: Context) -> Any:
        found = self._ask(context, "GET", "/aliases", {})
        return g.ListAliasesResponse(
            aliases=map(RestToGrpc.convert_alias_description, found.aliases)
        )

    def UpdateAliases(self, request: g.ChangeAliases, context: Context) -> Any:
        steps = [GrpcToRest.convert_alias_operations(step) for step in request.actions]
        done = self._ask(context, "POST", "/collections/aliases", {"actions": plain(steps)})
        return g.CollectionOperationResponse(result=done)

    def Get(self, request: g.GetCollectionInfoRequest, context: Context) -> Any:
        found = self._ask(context, "GET", f"/collections/{request.collection_name}", {})
        return g.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(found))

    def CollectionExists(self, request: g.CollectionExistsRequest, context: Context) -> Any:
        path = f"/collections/{request.collection_name}/exists"
        found = self._ask(context, "GET", path, {})
        return g.CollectionExistsResponse(result=g.CollectionExists(exists=found["exists"]))

    def Create(self, request: g.CreateCollection, context: Context) -> Any:
        body = {
            "vectors": plain(GrpcToRest.convert_vectors_config(request.vectors_config)),
            **configured(request),
            **{name: getattr(request, name) for name in PLAIN if request.HasField(name)},
        }
        done = self._ask(context, "PUT", f"/collections/{request.collection_name}", body)
        return g.CollectionOperationResponse(result=done)

    def Update(self, request: g.UpdateCollection, context: Context) -> Any:
        path = f"/collections/{request.collection_name}"
        body = configured(request)
        if request.metadata:
            body["metadata"] = GrpcToRest.convert_payload(request.metadata)
        done = self._ask(context, "PATCH", path, body)
        return g.CollectionOperationResponse(result=done)

    def Delete(self, request: g.DeleteCollection, context: Context) -> Any:
        done = self._ask(context, "DELETE", f"/collections/{request.collection_name}", {})
        return g.CollectionOperationResponse(result=done)


class _Root(qdrant_pb2_grpc.QdrantServicer):  # type: ignore[misc]
    def HealthCheck(self, _request: Any, _context: Context) -> Any:
        return g.HealthCheckReply(title="qdrant", version=VERSION)


@contextmanager
def grpc_side(server: StandIn, port: int = 0) -> Iterator[int]:
    """The port of the loopback on which it is spoken to by gRPC; until the context ends."""
    asked = _Asked(server)
    limits = [("grpc.max_receive_message_length", TOO_LARGE_BYTES)]
    running = grpc.server(ThreadPoolExecutor(8), options=limits)
    points_service_pb2_grpc.add_PointsServicer_to_server(_Points(asked), running)
    collections_service_pb2_grpc.add_CollectionsServicer_to_server(_Collections(asked), running)
    qdrant_pb2_grpc.add_QdrantServicer_to_server(_Root(), running)
    taken = running.add_insecure_port(f"127.0.0.1:{port}")
    running.start()
    try:
        yield taken
    finally:
        running.stop(None).wait()
