"""Keeps the progress of a run in its state, beside the lease, for `sensedex status` elsewhere.

A thread of its own writes it, at most every few seconds, and at the end how the run ended. What the
store refuses is said once, and passes: the run does not go by it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import SensedexError
from pipeline.progress import ProgressReporter, RunProgress, Stage
from pipeline.run.watched_steps import code_of
from pipeline.run_events import ignore_event
from pipeline.state.lease import LeaseHandle
from pipeline.state.receipts import RunFolder
from pipeline.state.run_progress import (
    PROGRESS,
    WHOLE,
    StageDone,
    StoredProgress,
    put_progress,
)
from pipeline.state.store import Store

FOLDER_EVERY_S = 2.0
BUCKET_EVERY_S = 10.0  # a PUT each: less than half a cent an hour
RATE_OVER_S = 60.0
STOPS_WITHIN_S = 10.0
NOT_KEPT = "progress_not_kept"


@contextmanager
def progress_kept(
    store: Store,
    folder: RunFolder,
    lease: LeaseHandle,
    reporter: ProgressReporter,
    file: str = PROGRESS,
) -> Iterator[None]:
    """While the context is open; a run that leaves it by an error is marked with its code, and one
    that is killed leaves what was written last. Nobody writes who has lost the lease. Raises
    nothing of its own."""
    notes = _Notes(folder, reporter)
    reporter.observe(notes.see, ignore_event)
    done = threading.Event()
    refused = False

    def write(ended: str = "") -> None:
        nonlocal refused
        try:
            lease.in_time()
            put_progress(store, notes.now(ended), file)
        except SensedexError as error:
            if not refused:
                refused = True
                reporter.warn(NOT_KEPT, f"`sensedex status` will not see this run: {error.message}")

    def keep() -> None:
        every_s = BUCKET_EVERY_S if store.location.startswith("s3://") else FOLDER_EVERY_S
        write()
        while not done.wait(every_s):
            write()

    thread = threading.Thread(target=keep, daemon=True, name="sensedex-progress")
    thread.start()
    ended = WHOLE
    try:
        yield
    except BaseException as error:
        ended = code_of(error)
        raise
    finally:
        done.set()
        thread.join(timeout=STOPS_WITHIN_S)
        write(ended)


class _Notes:
    """The reporter's latest snapshot as it is stored, and the rates over the last minute."""

    def __init__(self, folder: RunFolder, reporter: ProgressReporter) -> None:
        self._folder = folder
        self._reporter = reporter
        self._embedding_since: float | None = None
        # When what was written: objects and milliseconds of media.
        self._written: deque[tuple[float, int, int]] = deque()

    def see(self, progress: RunProgress) -> None:
        """A `pipeline.progress.OnProgress`: when embedding began."""
        if self._embedding_since is None and progress.of(Stage.ENCODE).busy_seconds:
            self._embedding_since = time.monotonic()

    def now(self, ended: str) -> StoredProgress:
        progress, moment = self._reporter.latest, time.monotonic()
        since = self._embedding_since
        objects, media_ms = self._rates(progress, moment)
        return StoredProgress(
            run_id=self._folder.run_id,
            sequence=self._folder.sequence,
            started_at=self._reporter.started_at,
            written_at=time.time(),
            phase=progress.phase,
            total_objects=progress.total_objects,
            stages={
                str(stage): StageDone(
                    done.objects,
                    done.segments,
                    done.media_ms / 1000,
                    round(done.busy_seconds, 3),
                    progress.workers.get(stage, 1),
                )
                for stage in Stage
                if (done := progress.of(stage)).objects
            },
            shards={str(state): count for state, count in progress.shards.items()},
            objects_by_status=progress.objects_by_status,
            retries=progress.retries,
            embedding_seconds=0.0 if since is None else round(moment - since, 3),
            objects_per_second=round(objects, 4),
            media_seconds_per_second=round(media_ms / 1000, 4),
            ended=ended,
        )

    def _rates(self, progress: RunProgress, moment: float) -> tuple[float, float]:
        """Objects and milliseconds of media written a second; from the start of embedding in the
        first minute."""
        if self._embedding_since is None:
            return 0.0, 0.0
        if not self._written:
            self._written.append((self._embedding_since, 0, 0))
        written = progress.of(Stage.WRITE)
        self._written.append((moment, written.objects, written.media_ms))
        while len(self._written) > 2 and moment - self._written[1][0] >= RATE_OVER_S:
            self._written.popleft()
        began, objects, media_ms = self._written[0]
        seconds = max(1e-3, moment - began)
        return (
            max(0, written.objects - objects) / seconds,
            max(0, written.media_ms - media_ms) / seconds,
        )
