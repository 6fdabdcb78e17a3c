"""Stage 2 of the graph: batches of windows of all objects in, unit vectors out.

A batch holds windows of many objects and of several modalities. Each modality is encoded as one
or a few full arrays; a window that the encoder cannot take costs its own object alone. All of a
batch's arrays are submitted before the first is waited for, and on a GPU the next batch is
submitted before this one is collected, so that the device goes on while tables are read and
written.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from encoders.applications.zero_shot import embed_labels
from encoders.modality import Modality
from encoders.pending import FedEncoder, Pending, submitted
from encoders.preprocess.sampling import spread
from encoders.preprocess.text import clean
from encoders.protocol import Encoder
from pipeline import codec
from pipeline.embed.rows import encoded_schema, frames_of, sound_of, vector_column
from pipeline.progress import AddProgress, Stage, StageProgress
from pipeline.records import Failure, VectorSpace
from pipeline.settings_embedding import TagSettings

Vectors = list[NDArray[np.float32] | None]


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows of one shape, submitted to their encoder together."""

    members: list[int]
    items: list[Any]
    pending: Pending


@dataclass(frozen=True, slots=True)
class Submitted:
    """A table of decoded windows whose vectors are on their way; `groups` by the vector's name."""

    decoded: pa.Table
    began: float
    groups: dict[str, list[_Group]] = field(default_factory=dict)


class EncodeStage:
    """Loads its models once, in its own process. On a GPU their forwards are captured then, for
    batches of up to `batch_size` windows."""

    def __init__(
        self,
        load: Callable[[], Sequence[Encoder]],
        spaces: Sequence[VectorSpace],
        add_progress: AddProgress,
        tags: TagSettings | None = None,
        batch_size: int = 32,
    ) -> None:
        encoders = load()
        fed = [encoder for encoder in encoders if isinstance(encoder, FedEncoder)]
        for encoder in fed:
            taken = [s.modality for s in spaces if s.encoder == encoder.card.name]
            encoder.feed.prepare(taken, batch_size)
        self._ahead = max((encoder.feed.batches_ahead for encoder in fed), default=0)
        self._busy_until = 0.0
        self._tags = tags
        self._first = encoders[0].card.name
        self._labels = (
            embed_labels(encoders[0], tags.labels, tags.templates)
            if tags is not None and tags.labels
            else None
        )
        by_name = {encoder.card.name: encoder for encoder in encoders}
        self._spaces = [(space, by_name[space.encoder]) for space in spaces]
        self._schema = encoded_schema([space.vector_name for space in spaces])
        self._add_progress = add_progress
        # The model is there: from here on it is work, before it was the start.
        precisions = tuple(p for encoder in encoders for p in encoder.precisions)
        add_progress(Stage.ENCODE, StageProgress(precisions=precisions))

    def table(self, decoded: pa.Table) -> pa.Table:
        """A table of `rows.DECODED` in, one of `rows.encoded_schema` out, row for row."""
        return self.collect(self.submit(decoded))

    def tables(self, decoded: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """As `table`, in order; where a device works by itself, the next one is submitted before
        this one is collected."""
        if not self._ahead:
            yield from map(self.table, decoded)
            return
        waiting: deque[Submitted] = deque()
        for table in decoded:
            waiting.append(self.submit(table))
            if len(waiting) > self._ahead:
                yield self.collect(waiting.popleft())
        while waiting:
            yield self.collect(waiting.popleft())

    def submit(self, decoded: pa.Table) -> Submitted:
        """Begin to encode all of a table's windows, in every space."""
        submission = Submitted(decoded, time.perf_counter())
        inputs: dict[Modality, Sequence[Any]] = {
            Modality.VISION: [_read(cell, frames_of) for cell in decoded.column("frames")],
            Modality.AUDIO: [_read(cell, sound_of) for cell in decoded.column("sound")],
            Modality.TEXT: [_words(text) for text in decoded.column("text").to_pylist()],
        }
        for space, encoder in self._spaces:
            given = inputs.get(space.modality, [])
            if space.modality is Modality.VISION:
                most = encoder.card.frames_per_clip
                given = [None if frames is None else spread(frames, most) for frames in given]
            submission.groups[space.vector_name] = [
                _group(encoder, space.modality, members, [given[row] for row in members])
                for members in _alike(given)
            ]
        return submission

    def collect(self, submission: Submitted) -> pa.Table:
        """Wait for the vectors of a table, and put them beside its rows."""
        decoded = submission.decoded
        failures: list[str | None] = [None] * decoded.num_rows
        columns: dict[str, Any] = {}
        payloads = decoded.column("payload").to_pylist()
        for space, encoder in self._spaces:
            vectors: Vectors = [None] * decoded.num_rows
            for group in submission.groups[space.vector_name]:
                _take(encoder, space.modality, group, vectors, failures)
            columns[space.vector_name] = vector_column(vectors)
            if space.modality is not Modality.TEXT and space.encoder == self._first:
                self._tag(space.modality, vectors, payloads)
        columns["payload"] = pa.array(payloads, type=pa.string())
        for name in self._schema.names:
            if name == "failure":
                columns[name] = pa.array(failures, type=pa.string())
            elif name not in columns:
                columns[name] = decoded.column(name)
        windows = decoded.num_rows - decoded.column("payload").null_count
        ends = decoded.num_rows - windows
        # Tables overlap: what two of them waited for together counts once.
        now = time.perf_counter()
        busy_seconds = now - max(submission.began, self._busy_until)
        self._busy_until = now
        self._add_progress(
            Stage.ENCODE,
            StageProgress(
                objects=ends,
                segments=windows,
                media_ms=_media_ms(decoded),
                busy_seconds=busy_seconds,
            ),
        )
        return pa.Table.from_pydict({n: columns[n] for n in self._schema.names}, self._schema)

    def left_out(self, decoded: pa.Table, failure: Failure) -> pa.Table:
        """The rows of `decoded` as `table` gives them, each window failed, none looked at."""
        reason = codec.to_bytes(failure).decode()
        rows = decoded.num_rows
        failures = [None if payload is None else reason for payload in
                    decoded.column("payload").to_pylist()]  # fmt: skip
        columns: dict[str, Any] = {"failure": pa.array(failures, type=pa.string())}
        for space, _ in self._spaces:
            columns[space.vector_name] = vector_column([None] * rows)
        for name in self._schema.names:
            if name not in columns:
                columns[name] = decoded.column(name)
        return pa.Table.from_pydict({n: columns[n] for n in self._schema.names}, self._schema)

    def _tag(self, modality: Modality, vectors: Vectors, payloads: list[str | None]) -> None:
        """Adds to the payloads which labels a window's picture or sound is likest."""
        there = {row: vector for row, vector in enumerate(vectors) if vector is not None}
        if self._labels is None or self._tags is None or not there:
            return
        found = self._labels.tags(
            np.stack(list(there.values())),
            scale=self._tags.scale,
            at_least=self._tags.min_score,
            most=self._tags.max_tags,
        )
        for row, tags in zip(there, found, strict=True):
            payload = json.loads(payloads[row] or "{}")
            payload["tags"] = sorted({*payload.get("tags", []), *(tag.label for tag in tags)})
            payload["tag_scores"] = [
                *payload.get("tag_scores", []),
                *({"sense": str(modality), "label": t.label, "score": t.score} for t in tags),
            ]
            payloads[row] = json.dumps(payload, ensure_ascii=True)


def _alike(inputs: Sequence[Any]) -> list[list[int]]:
    """The rows that hold something, by its shape; all texts together."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row, item in enumerate(inputs):
        if item is not None:
            groups[item.shape if isinstance(item, np.ndarray) else "text"].append(row)
    return list(groups.values())


def _group(encoder: Encoder, modality: Modality, members: list[int], items: list[Any]) -> _Group:
    def batch() -> Any:
        return items if modality is Modality.TEXT else np.stack(items)

    return _Group(members, items, submitted(encoder, modality, batch))


def _take(
    encoder: Encoder,
    modality: Modality,
    group: _Group,
    vectors: Vectors,
    failures: list[str | None],
) -> None:
    """The vectors of rows of one shape; the batch is halved where it fails, down to the row at
    fault."""
    try:
        for row, vector in zip(group.members, group.pending.result(), strict=True):
            if not np.isfinite(vector).all():
                failures[row] = _failure("not_finite", f"the {modality} vector is not finite")
            vectors[row] = vector
    except (RuntimeError, ValueError, MemoryError) as error:
        if len(group.members) == 1:
            what = f"{modality}: {type(error).__name__}: {error}"
            failures[group.members[0]] = _failure("encoder", what)
            return
        middle = len(group.members) // 2
        for half in (slice(None, middle), slice(middle, None)):
            part = _group(encoder, modality, group.members[half], group.items[half])
            _take(encoder, modality, part, vectors, failures)


def _failure(code: str, message: str) -> str:
    failure = Failure("encode", code, True, message, "`sensedex retry` tries it again.")
    return codec.to_bytes(failure).decode()


def _read(cell: pa.Scalar, reader: Callable[[bytes], NDArray[Any]]) -> NDArray[Any] | None:
    return reader(cell.as_buffer()) if cell.is_valid else None


def _words(text: str | None) -> str | None:
    """Nothing where only white space, or entities for it, would be left."""
    return text if text and clean(text) else None


def _media_ms(table: pa.Table) -> int:
    spans = zip(
        table.column("end_ms").to_pylist(), table.column("start_ms").to_pylist(), strict=True
    )
    return sum(end - start for end, start in spans)
