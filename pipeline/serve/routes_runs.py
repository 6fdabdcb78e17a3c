"""The addresses of runs, of what is served, and of the server itself."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from pipeline.metrics.serving import CONTENT_TYPE
from pipeline.serve import answers
from pipeline.serve.described import METRICS
from pipeline.serve.problems import ServerBusy
from pipeline.serve.routes_search import as_json
from pipeline.serve.service import Service


def run_routes(service: Service, version: str) -> APIRouter:
    """Under /v1, but those of the server itself."""
    router = APIRouter()

    @router.get("/v1/about", response_model=answers.About)
    async def about() -> Response:
        """What is served, what it can be narrowed by, and the limits."""
        return as_json({"version": version, **await service.about()})

    @router.get("/v1/report", response_model=dict[str, Any])
    async def report(
        run: Annotated[
            str | None, Query(max_length=100, description="The end of a run's id; else the last.")
        ] = None,
    ) -> Response:
        """A run's report, as `sensedex report --json` prints it."""
        return as_json(await service.report(run or None))

    @router.get("/v1/runs", response_model=answers.Runs)
    async def runs(limit: Annotated[int, Query(ge=1, le=200)] = 30) -> Response:
        """The runs, the newest first, and the one at work."""
        return as_json(await service.runs(limit))

    @router.get("/health", response_model=answers.Health)
    async def health() -> Response:
        """Whether the process lives."""
        return as_json({"status": "ok"})

    @router.get("/ready", response_model=answers.Readiness)
    async def ready() -> Response:
        """Whether a search would be answered."""
        checks = await service.ready()
        wrong = {name: code for name, code in checks.items() if code != "ok"}
        if wrong:
            what = ", ".join(f"{name} ({code})" for name, code in wrong.items())
            raise ServerBusy(f"Not ready: {what}.", code="not_ready", remedy="Ask again.")
        return as_json({"status": "ready", "checks": checks})

    @router.get("/metrics", response_class=Response, openapi_extra=METRICS)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(service.metrics.text(), 200, {"Cache-Control": "no-store"}, CONTENT_TYPE)

    return router
