"""`sensedex mcp`, asked by the protocol's own client: over the input and output of the command, and
over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
import typer
from jsonschema import Draft202012Validator
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Tool

from flows.cli.main import app
from pipeline.search.request import TermKind, asked
from pipeline.search.searcher import open_searcher
from pipeline.serve.mcp.arguments import SearchMomentsGiven, given
from pipeline.serve.mcp.server import Called
from pipeline.serve.mcp.transports import serve_http
from pipeline.serve.service import Service
from tests.support.api_server import (
    FILM,
    KEY,
    PICTURE,
    ApiServer,
    ServedCorpus,
    api_server,
    copied,
)

R = TypeVar("R")
WORDS = [{"value": "kingfisher"}]


@pytest.fixture(scope="module")
def called() -> list[Called]:
    return []


@pytest.fixture(scope="module")
def served(
    corpus: ServedCorpus, called: list[Called], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiServer]:
    """Over HTTP, with keys; it looks at objects each time."""
    run = partial(serve_http, on_called=called.append)
    folder = tmp_path_factory.mktemp("mcp")
    with api_server(corpus, folder, run, api_keys=(KEY,), look_for_s=0) as server:
        yield server


@asynccontextmanager
async def client_of(served: ApiServer, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        transport = streamable_http_client(f"{served.url}/mcp", http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=60) as client:
            yield client


def over_http(served: ApiServer, ask: Callable[[Client], Awaitable[R]], mode: str = "auto") -> R:
    async def run() -> R:
        async with client_of(served, mode) as client:
            return await ask(client)

    return asyncio.run(run())


def call(served: ApiServer, tool: str, **arguments: Any) -> CallToolResult:
    return over_http(served, lambda client: client.call_tool(tool, arguments))


def answer(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, result.content
    [text] = result.content
    found: dict[str, Any] = result.structured_content
    assert json.loads(text.text) == found  # type: ignore[union-attr]
    return found


def sentence(result: CallToolResult) -> str:
    assert result.is_error
    assert result.structured_content is None
    [text] = result.content
    return str(text.text)  # type: ignore[union-attr]


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in (schema, *schema.get("$defs", {}).values()):
        yield from one["properties"].items()


def test_over_the_input_and_output_of_the_command(corpus: ServedCorpus, tmp_path: Path) -> None:
    settings = copied(corpus, tmp_path)
    words = [
        sys.executable, "-m", "flows.cli.main", "mcp",
        "--bucket", corpus.bucket, "--endpoint-url", str(settings.source.endpoint_url),
        "--encoder", settings.encode.encoder, "--collection", settings.index.collection,
        "--state", settings.state.location, "--set", f"index.path={settings.index.path}",
        "--set", f"serve.cache_folder={tmp_path / 'cache'}",
    ]  # fmt: skip
    said, wire = tmp_path / "said", tmp_path / "wire"
    # All that it writes to standard output, for its whole life.
    command = StdioServerParameters(
        command="sh",
        args=["-c", f"{shlex.join(words)} | tee {shlex.quote(str(wire))}"],
        env=dict(os.environ),
    )

    async def run() -> tuple[list[Tool], list[CallToolResult]]:
        with said.open("w") as errors:
            async with Client(stdio_client(command, errors), read_timeout_seconds=120) as client:
                assert client.instructions is not None
                assert "moments" in client.instructions
                tools = (await client.list_tools()).tools
                found = await client.call_tool("search_moments", {"terms": WORDS, "limit": 3})
                first = found.structured_content["moments"][0]
                more = {"asset_id": first["asset_id"], "at_ms": first["best_ms"]}
                asset = await client.call_tool("get_asset", {"asset_id": first["asset_id"]})
                return tools, [found, asset, await client.call_tool("similar", more)]

    tools, results = asyncio.run(run())
    for tool, result in zip(tools, results, strict=True):
        Draft202012Validator(tool.output_schema or {}).validate(answer(result))
    found, asset, similar = map(answer, results)
    with open_searcher(corpus.settings) as searcher:
        wanted = searcher.search(asked("kingfisher", limit=3))
    assert [(m["key"], m["start_ms"], m["end_ms"]) for m in found["moments"]] == [
        (m.key, m.start_ms, m.end_ms) for m in wanted
    ]
    first = found["moments"][0]
    assert (first["key"], first["text"], first["words"]) == (
        FILM, "A kingfisher dives", ["kingfisher"],
    )  # fmt: skip
    assert (asset["key"], asset["duration_ms"], asset["stale"]) == (FILM, 6000, None)
    starts = [window["start_ms"] for window in asset["windows"]]
    assert starts == sorted(starts)
    assert len(starts) == asset["segments"]
    assert FILM not in {moment["key"] for moment in similar["moments"]}
    messages = [json.loads(line) for line in wire.read_text().splitlines()]
    assert len(messages) >= 5
    assert {message["jsonrpc"] for message in messages} == {"2.0"}
    log = said.read_text()
    assert "served to the client at standard input" in log
    assert "search_moments ok" in log


def test_an_agent_is_told_what_each_thing_is(served: ApiServer) -> None:
    tools = over_http(served, lambda client: client.list_tools()).tools
    assert [tool.name for tool in tools] == ["search_moments", "get_asset", "similar"]
    for tool in tools:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        for schema in (tool.input_schema, tool.output_schema):
            assert schema is not None
            Draft202012Validator.check_schema(schema)
        for name, one in properties(tool.input_schema):
            assert one.get("description"), f"{tool.name}: {name}"
    search = tools[0]
    for told in ("milliseconds", "negative weight", "share", "where"):
        assert told in (search.description or "")
    kinds = search.input_schema["$defs"]["TermGiven"]["properties"]["kind"]
    assert kinds["enum"] == ["words", "point"]


def test_an_older_client_is_answered(served: ApiServer) -> None:
    """One that begins with `initialize`, as all did before 2026."""
    found = over_http(
        served, lambda client: client.call_tool("search_moments", {"terms": WORDS}), mode="legacy"
    )
    assert answer(found)["moments"][0]["key"] == FILM


def test_pages_conditions_and_what_is_taken_away(served: ApiServer) -> None:
    terms = [{"value": PICTURE, "kind": "point"}]
    whole = answer(call(served, "search_moments", terms=terms, limit=6, per_asset=1))
    first = answer(call(served, "search_moments", terms=terms, limit=2, per_asset=1))
    second = answer(
        call(served, "search_moments", terms=terms, limit=4, per_asset=1, cursor=first["cursor"])
    )
    paged = [m["key"] for m in (*first["moments"], *second["moments"])]
    assert paged == [m["key"] for m in whole["moments"]]
    assert len(set(paged)) == 6
    less = answer(
        call(
            served, "search_moments", per_asset=1, limit=6,
            terms=[*terms, {"value": f"{paged[1]}@0", "kind": "point", "weight": -0.9}],
        )
    )  # fmt: skip
    assert paged[1] not in [m["key"] for m in less["moments"]][:2]
    films = answer(call(served, "search_moments", terms=terms, where=["type=video"]))
    assert {m["media_type"] for m in films["moments"]} == {"video"}
    windows = answer(
        call(served, "get_asset", asset_id=films["moments"][0]["asset_id"], limit=2)
    )  # fmt: skip
    rest = answer(call(served, "get_asset", asset_id=windows["asset_id"], cursor=windows["cursor"]))
    assert len(windows["windows"]) + len(rest["windows"]) == windows["segments"]


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("search_moments", {"terms": [{"value": "/etc/passwd", "kind": "image"}]}, "terms.0.kind"),
        ("search_moments", {"terms": [{"value": "http://127.0.0.1/", "kind": "video"}]}, "kind"),
        ("search_moments", {"terms": [{"value": "/etc/passwd", "kind": "point"}]}, "no window"),
        ("search_moments", {"terms": []}, "terms"),
        ("search_moments", {}, "terms"),
        ("search_moments", {"terms": [{"value": "rain", "weight": 0}]}, "weight"),
        ("search_moments", {"terms": [{"value": "rain", "wieght": 2}]}, "terms.0.wieght"),
        ("search_moments", {"terms": WORDS, "where": ["colour=red"]}, "colour"),
        ("search_moments", {"terms": WORDS, "limit": 101}, "limit"),
        ("search_moments", {"terms": WORDS, "cursor": "x"}, "cursor"),
        ("get_asset", {"asset_id": "../../etc/passwd"}, "A search names the assets. [no_asset]"),
        ("similar", {"asset_id": "file:///etc/passwd"}, "[no_asset]"),
        ("similar", {"asset_id": "x", "at_ms": -1}, "at_ms"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_told_in_a_sentence(
    served: ApiServer, tool: str, arguments: dict[str, Any], told: str
) -> None:
    assert told in sentence(call(served, tool, **arguments))


def test_what_has_left_the_bucket_is_named_as_stale(served: ApiServer) -> None:
    corpus = served.corpus
    client = corpus.client()
    client.delete_object(Bucket=corpus.bucket, Key=FILM)
    try:
        found = answer(call(served, "search_moments", terms=WORDS, limit=1))
        asset = answer(call(served, "get_asset", asset_id=corpus.id_of(FILM), limit=0))
    finally:
        client.put_object(Bucket=corpus.bucket, Key=FILM, Body=corpus.objects[FILM])
    assert (found["moments"][0]["key"], found["moments"][0]["stale"]) == (FILM, "object_gone")
    assert (asset["stale"], asset["windows"]) == ("object_gone", [])


def test_a_defect_tells_an_agent_nothing_of_it(
    served: ApiServer, called: list[Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_given: Any) -> dict[str, Any]:
        raise RuntimeError("a password")

    monkeypatch.setattr(Service, "asset", broken)
    assert sentence(call(served, "get_asset", asset_id="x")).startswith("This is a defect")
    last = called[-1]
    assert (last.tool, last.code, str(last.error)) == ("get_asset", "defect", "a password")


def test_no_such_tool(served: ApiServer) -> None:
    async def ask(client: Client) -> str:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("delete", {})
        return refused.value.message

    assert over_http(served, ask) == "There is no tool 'delete'."


def test_only_who_has_a_key_asks_and_only_so_much(served: ApiServer) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    told = {"Accept": "application/json, text/event-stream"}
    keyed = {**told, "X-API-Key": KEY}
    with served.http() as http:
        assert http.post("/mcp", json=ping, headers=told).status_code == 401
        assert http.post("/mcp", json=ping, headers={**told, "X-API-Key": "no"}).status_code == 401
        assert http.post("/mcp", json=ping, headers=keyed).json()["result"] == {}
        foreign = {**keyed, "Origin": "https://elsewhere.example"}
        assert http.post("/mcp", json=ping, headers=foreign).status_code == 403
        assert http.get("/mcp", headers=keyed).status_code == 405
        long = {**ping, "params": {"_meta": {"x": "x" * 300_000}}}
        assert http.post("/mcp", json=long, headers=keyed).status_code == 413


def test_the_page_has_what_a_client_and_an_agent_may_send(root_dir: Path) -> None:
    page = (root_dir / "docs/mcp.md").read_text()
    client, search = (json.loads(part) for part in re.findall(r"```json\n(.*?)```", page, re.S))
    started = client["mcpServers"]["sensedex"]
    assert started["command"] == "sensedex"
    command = typer.main.get_command(app)
    with command.make_context("sensedex", started["args"][:1]) as whole:
        tool = command.get_command(whole, "mcp")  # type: ignore[attr-defined]
        parsed = tool.make_context("mcp", started["args"][1:], parent=whole)
    assert parsed.params["bucket"] == "films"
    request = given(SearchMomentsGiven, json.dumps(search)).request()
    assert [term.required for term in request.terms] == [True, True, False, False]
    assert [term.kind for term in request.terms][-1] == TermKind.POINT
    assert len(request.where) == 3
