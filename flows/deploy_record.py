"""The record of what `sensedex deploy` made, in a variable of Prefect's: only that is removed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate

RECORD = "sensedex_deploy"


class Record:
    """Which objects were made here: `{kind: {name: id}}`, in a variable on the server."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client
        stored = client.read_variable_by_name(RECORD)
        self._stored = stored is not None
        value = stored.value if stored else {}
        assert isinstance(value, dict), RECORD
        self._made: dict[str, dict[str, str]] = value

    def add(self, kind: str, name: str, made: UUID) -> None:
        self._made.setdefault(kind, {})[name] = str(made)
        self._write()

    def drop(self, kind: str, name: str) -> None:
        self._made.get(kind, {}).pop(name, None)
        self._write()

    def made(self, kind: str) -> dict[str, UUID]:
        return {name: UUID(one) for name, one in self._made.get(kind, {}).items()}

    def has(self, kind: str, name: str, found: UUID) -> bool:
        return self._made.get(kind, {}).get(name) == str(found)

    def _write(self) -> None:
        kept: Any = {kind: rows for kind, rows in self._made.items() if rows}
        if not kept:
            self._client.delete_variable_by_name(RECORD)
        elif self._stored:
            self._client.update_variable(VariableUpdate(name=RECORD, value=kept))
        else:
            self._client.create_variable(VariableCreate(name=RECORD, value=kept))
        self._stored = bool(kept)
