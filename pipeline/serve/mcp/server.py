"""The server of the protocol: it lists the tools, calls them, and makes their errors sentences that
an agent can act on. It knows nothing of how messages come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from encoders.errors import EncoderError
from pipeline.errors import SensedexError
from pipeline.serve.mcp.arguments import given, schema_of
from pipeline.serve.mcp.tools import INSTRUCTIONS, TOOLS, ServedTool
from pipeline.serve.service import Service

DEFECT = "This is a defect of sensedex. The server's log has it. [defect]"
READS_ALONE = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


@dataclass(frozen=True, slots=True)
class Called:
    """A tool's call, when it has ended. `code` is that of an error with a name; `error` what nobody
    foresaw."""

    tool: str
    seconds: float
    code: str = ""
    error: BaseException | None = None


OnCalled = Callable[[Called], None]


def make_server(service: Service, version: str, on_called: OnCalled) -> Server[Any]:
    """`on_called` hears of each call when it has ended."""
    tools = {tool.name: tool for tool in TOOLS}

    async def list_tools(
        _context: ServerRequestContext[Any], _asked: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[_described(tool) for tool in TOOLS])

    async def call_tool(
        _context: ServerRequestContext[Any], asked: CallToolRequestParams
    ) -> CallToolResult:
        tool = tools.get(asked.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"There is no tool {asked.name[:80]!r}.")
        began = time.perf_counter()
        code, error = "", None
        try:
            return await _answered(service, tool, asked.arguments or {})
        except (SensedexError, EncoderError) as known:
            code = known.code
            return _refused(f"{known.message} {known.remedy}".strip() + f" [{code}]")
        except Exception as unforeseen:  # noqa: BLE001 - it ends this call; the log has it whole
            code, error = "defect", unforeseen
            return _refused(DEFECT)
        finally:
            on_called(Called(tool.name, time.perf_counter() - began, code, error))

    return Server(
        "sensedex",
        version=version,
        title="sensedex: moments of media",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _answered(
    service: Service, tool: ServedTool, arguments: dict[str, Any]
) -> CallToolResult:
    answer = await tool.call(service, given(tool.given, json.dumps(arguments)))
    text = json.dumps(answer, ensure_ascii=False)
    # As text, too: for clients that know no structured content.
    return CallToolResult(content=[TextContent(text=text)], structured_content=answer)


def _refused(sentence: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=sentence)], is_error=True)


@cache
def _described(tool: ServedTool) -> Tool:
    return Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=schema_of(tool.given),
        output_schema=tool.answer.model_json_schema(mode="serialization"),
        annotations=READS_ALONE,
    )
