"""Standard error as lines of JSON: whatever is written to it, one object a line.

Records have their fields; what anybody else prints there (a note for a person, a library's warning,
a traceback) becomes the message of a line, so that a log store never meets a line that it cannot
read.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import traceback
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from pipeline.without_secrets import without_secrets


class Level(StrEnum):
    """As log stores know them."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class JsonLines(io.TextIOBase):
    """A text stream. `context` has the fields that each object is to have, as the run's id."""

    def __init__(self, stream: TextIO, context: dict[str, Any] | None = None) -> None:
        self.context = {} if context is None else context
        self._stream = stream
        self._begun = ""
        self._lock = threading.RLock()

    def over(self, stream: TextIO) -> JsonLines:
        """The same, written to another stream: while this one's is an engine's log."""
        return JsonLines(stream, self.context)

    def record(self, level: Level, message: str, **fields: Any) -> None:
        """One object; fields that are None or empty are left out. Never raises for its values."""
        facts = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": str(level),
            "message": message,
            **self.context,
            **fields,
        }
        told = {
            name: without_secrets(value) if isinstance(value, str) else value
            for name, value in facts.items()
            if value not in (None, "")
        }
        line = json.dumps(told, ensure_ascii=True, default=str) + "\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                if line.strip():
                    self.record(Level.INFO, line.strip())
        return len(text)

    def writable(self) -> bool:
        return True

    def finish(self) -> None:
        """Write what has no end yet."""
        if self._begun.strip():
            self.write("\n")


def json_lines() -> JsonLines | None:
    """Standard error, where it is such a stream."""
    return sys.stderr if isinstance(sys.stderr, JsonLines) else None


def record_defect(log: JsonLines, error: BaseException) -> None:
    """A defect of ours is one object, with its traceback in a field."""
    told = "".join(traceback.format_exception(error))
    log.record(Level.ERROR, f"{type(error).__name__}: {error}", code="defect", trace=told)
