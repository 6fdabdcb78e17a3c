"""Stage 1 of the graph: a fetched object in, its windows out, and always one last row with its
outcome."""

from __future__ import annotations

import itertools
import json
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline import codec
from pipeline.byte_ranges import NotFetchedError
from pipeline.embed.fetch import Fetched
from pipeline.embed.nvdec_proof import nvdec_use
from pipeline.embed.rows import DecodedRow, Shard
from pipeline.errors import MediaRejected, ObjectArchived, ObjectDenied, SensedexError
from pipeline.local_files import room_named
from pipeline.media.sandbox.protocol import Item
from pipeline.media.sandbox.shared_child import SandboxDecoder
from pipeline.media.window import DecodeEnd, Window
from pipeline.payload import segment_payload
from pipeline.progress import AddProgress, Stage, StageProgress
from pipeline.records import Failure, FetchedObject, MediaInfo, ObjectOutcome, PlanRow, Status
from pipeline.settings_embedding import DecodeSettings
from pipeline.source.sidecars import Sidecars


class DecodeStage:
    """Decodes and cuts one object at a time. It never raises for an object's sake."""

    def __init__(
        self,
        decode: DecodeSettings,
        encoder_name: str,
        spaces: tuple[str, ...],
        add_progress: AddProgress,
    ) -> None:
        self._decoder = SandboxDecoder(decode, nvdec_use(decode))
        self._encoder_name = encoder_name
        self._spaces = spaces
        self._add_progress = add_progress

    def rows(self, fetched: Fetched, shard: Shard) -> Iterator[DecodedRow]:
        """Windows in their order, then the end; then the file is gone. Windows of an object that
        fails half way are followed by an outcome that says so; the writer drops them."""
        planned = fetched.planned
        if fetched.verdict is not None:
            yield self._end(planned, shard, fetched.verdict)
            self._add_progress(Stage.DECODE, StageProgress(objects=1))
            return
        began = time.perf_counter()
        waited_s = 0.0  # for whoever takes the windows
        counts: Counter[str] = Counter()
        info: MediaInfo | None = None
        end: DecodeEnd | None = None
        failure: Failure | None = None
        status = Status.FAILED
        windows = 0
        try:
            if fetched.error is not None:
                raise fetched.error
            if fetched.path is None or fetched.found is None:
                raise ValueError("an object was neither fetched nor was there a reason")
            failure = next(iter(fetched.sidecars.failures), None)
            for item in self._items(fetched, fetched.path):
                if isinstance(item, MediaInfo):
                    info = item
                elif isinstance(item, Window):
                    if info is None:
                        raise ValueError("the decoder gave a window before the media's info")
                    row = self._window(planned, shard, info, item, fetched.sidecars, fetched.found)
                    counts.update(_modalities(row))
                    windows += 1
                    handed_over = time.perf_counter()
                    yield row
                    waited_s += time.perf_counter() - handed_over
                else:
                    end = item
            if end is None or windows == 0:
                raise MediaRejected(
                    f"{planned.object.uri} gave no window.",
                    code="empty_stream",
                    remedy="Look at it with ffprobe; replace or remove it.",
                )
            status = end.status
            if end.status is Status.PARTIAL:
                failure = Failure("decode", "partial", False, end.note, "See docs/media.md.")
        except SensedexError as error:
            failure, status = Failure.of("decode", error), _status_of(error)
        except Exception as error:  # noqa: BLE001  a defect of ours costs one object, as a row
            where = traceback.extract_tb(error.__traceback__)[-1]
            failure = Failure(
                "decode",
                "internal",
                True,
                f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})",
                "A defect of sensedex; please report it with this line.",
            )
            status = Status.FAILED
        finally:
            fetched.delete()
        done = status in (Status.INDEXED, Status.PARTIAL)
        decoded_ms = end.decoded_ms if end is not None and done else 0
        seconds = time.perf_counter() - began - waited_s
        outcome = ObjectOutcome(
            key=planned.object.key,
            asset_id=planned.asset_id,
            generation=planned.generation,
            etag=planned.object.etag,
            version_id=planned.object.version_id,
            size_bytes=planned.object.size_bytes,
            status=status,
            media_type=info.media_type if info is not None else None,
            segments=windows if done else 0,
            segments_by_modality=dict(counts) if done else {},
            declared_ms=info.declared_ms if info is not None else 0,
            decoded_ms=decoded_ms,
            failure=failure,
            sidecars=tuple(sidecar.key for sidecar in planned.sidecars),
            seconds_by_stage={"decode": round(fetched.seconds + seconds, 4)},
            bucket=planned.object.bucket,
        )
        yield self._end(planned, shard, outcome)
        self._add_progress(
            Stage.FETCH,
            StageProgress(1, bytes=fetched.bytes, busy_seconds=fetched.seconds),
        )
        self._add_progress(
            Stage.DECODE,
            StageProgress(1, windows, decoded_ms, planned.object.size_bytes, seconds),
        )

    def _items(self, fetched: Fetched, path: Path) -> Iterator[Item]:
        """What the decoder gives. Where parts of the object are there and more turns out to be
        needed, all of it is fetched; what was given before is the same, and passed over. Nothing is
        rejected of which only parts were seen."""
        given = 0
        if fetched.parts is not None:
            try:
                for item in self._decoder.decode(path, fetched.parts.fetched):
                    yield item
                    given += 1
                return
            except (NotFetchedError, MediaRejected):
                with room_named():
                    fetched.parts.fetch_rest()
        yield from itertools.islice(self._decoder.decode(path), given, None)

    def close(self) -> None:
        """End the decoder's process; the stage is not used again."""
        self._decoder.close()

    def _window(
        self,
        planned: PlanRow,
        shard: Shard,
        info: MediaInfo,
        window: Window,
        sidecars: Sidecars,
        found: FetchedObject,
    ) -> DecodedRow:
        text = sidecars.text_of(window.segment)
        payload = segment_payload(
            obj=planned.object,
            sidecars=planned.sidecars,
            asset_id=planned.asset_id,
            generation=planned.generation,
            info=info,
            segment=window.segment,
            has_vision=window.frames is not None,
            has_audio=window.sound is not None,
            text=text,
            user_metadata=found.metadata,
            object_tags=found.tags,
            content_type=found.content_type,
            # One step of 32768 is dither, not sound.
            silent=window.sound is not None and int(np.abs(window.sound).max()) <= 1,
            spaces=self._spaces,
            encoder=self._encoder_name,
        )
        return DecodedRow(
            shard.number,
            shard.objects,
            planned.asset_id,
            planned.generation,
            window.segment.index,
            window.segment.start_ms,
            window.segment.end_ms,
            payload=json.dumps(payload, ensure_ascii=True),
            frames=None if window.frames is None else window.frames.tobytes(),
            sound=None if window.sound is None else window.sound.tobytes(),
            text=text or None,
        )

    @staticmethod
    def _end(planned: PlanRow, shard: Shard, outcome: ObjectOutcome) -> DecodedRow:
        return DecodedRow(
            shard.number,
            shard.objects,
            planned.asset_id,
            planned.generation,
            outcome=codec.to_bytes(outcome).decode(),
        )


def _modalities(row: DecodedRow) -> list[str]:
    cells = {"vision": row.frames, "audio": row.sound, "text": row.text}
    return [name for name, cell in cells.items() if cell is not None]


def _status_of(error: SensedexError) -> Status:
    if isinstance(error, ObjectDenied):
        return Status.DENIED
    if isinstance(error, ObjectArchived):
        return Status.ARCHIVED
    return Status.REJECTED if isinstance(error, MediaRejected) else Status.FAILED
