"""Proof that a folder of the state is the same folder on another machine.

One machine leaves a token in it and tells the others what is in the token; each reads it, and
writes an answer beside it. When the context ends, nothing of this is left.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import Permanent
from pipeline.local_files import writing_to
from pipeline.state.store import PRIVATE


class FolderNotShared(Permanent):
    """A folder of this machine, where several have to see it."""

    default_code = "state_not_shared"


@dataclass(frozen=True, slots=True)
class Token:
    """`content` is what the file at `path` holds on the machine that made it."""

    path: Path
    content: str


@contextmanager
def token_in(location: str) -> Iterator[Token]:
    """A token in the folder while the context is open. Raises SettingsError where the folder cannot
    be written."""
    folder = Path(location).expanduser().absolute() / PRIVATE
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    token = Token(folder / f"token-{uuid.uuid4().hex}", uuid.uuid4().hex)
    try:
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
            token.path.write_text(token.content)
        yield token
    finally:
        with suppress(OSError):
            token.path.unlink(missing_ok=True)
            for place in missing:  # the innermost first; one that has something in it stays
                place.rmdir()


def see_token(token: Token) -> None:
    """On another machine. Raises FolderNotShared."""
    answer = token.path.with_name(f"{token.path.name}-{uuid.uuid4().hex}")
    try:
        seen = token.path.read_text()
        answer.write_text(token.content)
        answer.unlink()
    except OSError as error:
        raise _not_shared(token, error.strerror or str(error)) from error
    if seen != token.content:
        raise _not_shared(token, "another file is in its place")


def _not_shared(token: Token, why: str) -> FolderNotShared:
    return FolderNotShared(
        f"The state is the folder {token.path.parent.parent}, and the driver's cannot be read and "
        f"written there ({why}).",
        remedy="Set state.location to s3://bucket/prefix, which every node sees, or mount one file "
        "system at that path on every node.",
    )
