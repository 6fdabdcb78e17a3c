"""What the stand-in for a Qdrant server does with points: one function a request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from qdrant_client import models as q

if TYPE_CHECKING:
    from tests.support.qdrant_server import StandIn

BETWEEN_STEPS_S = 0.001
OWN_EF = 100
USUAL_OVERSAMPLING = {"scalar": 2.0, "binary": 16.0, "product": 8.0, "turbo": 2.0}


def query(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    return _answered(server, name, q.QueryRequest.model_validate(body))


def query_batch(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    asked = q.QueryRequestBatch.model_validate(body).searches
    server.limits_of(name).check_batch(len(asked))
    return [_answered(server, name, one) for one in asked]


def query_groups(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    asked = q.QueryGroupsRequest.model_validate(body)
    limit, size = asked.limit or 10, asked.group_size or 3
    one = {n: v for n, v in body.items() if n in q.QueryRequest.model_fields}
    as_query = q.QueryRequest.model_validate({**one, "limit": limit * size})
    server.limits_of(name).check_query(as_query, graph=True)
    return server.engine.query_points_groups(
        name,
        asked.group_by,
        query=asked.query,
        using=asked.using,
        query_filter=asked.filter,
        limit=limit,
        group_size=size,
        with_payload=True if asked.with_payload is None else asked.with_payload,
    )


def _answered(server: StandIn, name: str, asked: q.QueryRequest) -> Any:
    graph = (server.configuration_of(name).get("hnsw_config") or {}).get("m") != 0
    server.limits_of(name).check_query(asked, graph=graph)
    limit = asked.limit or 10
    missing = _misses(server, name, asked.params)
    found = server.engine.query_points(
        name,
        query=asked.query,
        using=asked.using,
        query_filter=asked.filter,
        limit=2 * limit if missing else limit,
        with_payload=True if asked.with_payload is None else asked.with_payload,
    )
    if missing:
        seen = [p for n, p in enumerate(found.points, start=1) if n % missing]
        found.points = seen[:limit]
    return found


def _misses(server: StandIn, name: str, params: q.SearchParams | None) -> int:
    """Every which answer a search does not find; 0 where it finds all."""
    if not server.blunt or (params and params.exact):
        return 0
    wider = ((params.hnsw_ef if params else None) or OWN_EF) / OWN_EF
    asked = params.quantization.oversampling if params and params.quantization else None
    for kind in server.configuration_of(name).get("quantization_config") or ():
        wider *= (asked or 1.0) / USUAL_OVERSAMPLING[kind]
    return max(1, int(server.blunt * wider))


def scroll(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    asked = q.ScrollRequest.model_validate(body)
    server.limits_of(name).check_scroll(asked)
    points, offset = server.engine.scroll(
        name,
        scroll_filter=asked.filter,
        limit=asked.limit or 10,
        # Of the engine of tests/chaos nobody asks for an order, and it has none to give.
        **({} if asked.order_by is None else {"order_by": asked.order_by}),
        offset=asked.offset,
        with_payload=True if asked.with_payload is None else asked.with_payload,
        with_vectors=asked.with_vector or False,
    )
    return q.ScrollResult(points=points, next_page_offset=offset)


def facet(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    asked = q.FacetRequest.model_validate(body)
    server.limits_of(name).check_facet(asked)
    return server.engine.facet(name, asked.key, facet_filter=asked.filter, limit=asked.limit or 10)


def retrieve(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    asked = q.PointRequest.model_validate(body)
    wanted = True if asked.with_payload is None else asked.with_payload
    vectors = asked.with_vector or False
    return server.engine.retrieve(name, asked.ids, with_payload=wanted, with_vectors=vectors)


def count(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    asked = q.CountRequest.model_validate(body)
    server.limits_of(name).check_count(asked)
    return server.engine.count(name, count_filter=asked.filter)


def upsert(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    wanted = q.PointsList.model_validate(body)
    server.limits_of(name).check_upsert(len(wanted.points))
    return server.engine.upsert(name, wanted.points, update_filter=wanted.update_filter)


def delete(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    selector: Any = TypeAdapter(q.PointsSelector).validate_python(body)
    if isinstance(selector, q.FilterSelector):
        server.limits_of(name).check_change(selector.filter)
    return server.engine.delete(name, selector)


def batch(server: StandIn, name: str, body: dict[str, Any]) -> Any:
    """The lock is given back between two steps, for long enough that who waits gets it."""
    answers = []
    time.sleep(server.batch_takes_s)
    steps = q.UpdateOperations.model_validate(body).operations
    with server.lock:
        limits = server.limits_of(name)
    for step in steps:
        limits.check_step(step)
    for step in steps:
        with server.lock:
            try:
                answers += server.engine.batch_update_points(name, [step])
            except KeyError as error:  # the client's engine names the point, and no more
                missing = str(error.args[0]).removeprefix("No point with id ")
                raise KeyError(f"Not found: No point with id {missing} found") from error
        time.sleep(BETWEEN_STEPS_S)
    return answers


# What stands in line, where a server has one change after the other done.
CHANGES = (upsert, delete, batch)
