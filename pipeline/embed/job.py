"""The job that the stages of a run share, wherever they run; and cutting rows into chunks.

Each stage's own modules are imported as it is made: an actor of the graph is a process, and has no
use for what the others import.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from encoders.protocol import Encoder
from pipeline.embed.rows import Shard
from pipeline.progress import AddProgress
from pipeline.records import PlanRow, VectorSpace
from pipeline.settings import Settings
from pipeline.state.receipts import RunFolder
from pipeline.state.store import Store, open_store

if TYPE_CHECKING:
    from pipeline.embed.decode import DecodeStage
    from pipeline.embed.encode import EncodeStage
    from pipeline.embed.fetch import Fetched
    from pipeline.embed.write import WriteStage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EmbedJob:
    """Everything that the stages need to know; it travels to every actor."""

    settings: Settings
    run: RunFolder
    spaces: tuple[VectorSpace, ...]
    objects_by_shard: dict[int, int]

    def decode_stage(self, add_progress: AddProgress) -> DecodeStage:
        from pipeline.embed.decode import DecodeStage

        fingerprints = tuple(sorted({space.fingerprint for space in self.spaces}))
        encoder = self.settings.encode.encoder
        return DecodeStage(self.settings.decode, encoder, fingerprints, add_progress)

    def fetched(self, rows: Iterator[PlanRow]) -> AbstractContextManager[Iterator[Fetched]]:
        from pipeline.embed.fetch import fetched_ahead

        return fetched_ahead(self.settings.source, self.settings.decode, rows)

    def encode_stage(self, add_progress: AddProgress) -> EncodeStage:
        from pipeline.embed.encode import EncodeStage

        return EncodeStage(
            self.load_encoders,
            self.spaces,
            add_progress,
            self.settings.tags,
            self.settings.encode.batch_size,
        )

    def write_stage(self, add_progress: AddProgress) -> WriteStage:
        from pipeline.embed.write import WriteStage

        return WriteStage(self.open_store, self.run, self.spaces, add_progress)

    def load_encoders(self) -> list[Encoder]:
        from pipeline.models.spaces import load_chosen

        names = dict.fromkeys(space.encoder for space in self.spaces)
        return [load_chosen(self.settings, name) for name in names]

    def open_store(self) -> Store:
        return open_store(self.settings.state.location, self.settings.source)

    def shard_of(self, row: PlanRow) -> Shard:
        return Shard(row.shard, self.objects_by_shard[row.shard])


def chunks(items: Iterator[T], size: int) -> Iterator[Sequence[T]]:
    """Lists of at most `size` items, in their order."""
    while chunk := list(itertools.islice(items, size)):
        yield chunk
