"""Gathers events from a queue into a batch of objects, and keeps their messages hidden meanwhile.

A message is deleted when what it told is committed, or is no business of this source. One that
nobody can read is left: it comes again until the queue's redrive policy moves it to a dead-letter
queue.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from pipeline.errors import SensedexError, printable
from pipeline.events.messages import NotAnEvent, ObjectEvent, Told, events_in
from pipeline.records import Place
from pipeline.s3.queue import MAX_WAIT_S, Queue, QueueMessage
from pipeline.settings import SourceSettings
from pipeline.settings_events import EventSettings

MIB = 2**20
UNREADABLE_KNOWN = 10_000


@dataclass(slots=True)
class EventBatch:
    """Messages that were read, and the objects that they tell of, by bucket and key. `happened` has
    when each event came about, as far as it says (seconds since 1970). `elsewhere` counts events of
    other buckets or prefixes, `unreadable` messages that are none."""

    messages: list[tuple[QueueMessage, frozenset[Place]]] = field(default_factory=list)
    happened: list[tuple[Place, float]] = field(default_factory=list)
    restored: set[Place] = field(default_factory=set)
    events: int = 0
    size_bytes: int = 0
    elsewhere: int = 0
    unreadable: int = 0

    @property
    def places(self) -> frozenset[Place]:
        return frozenset().union(*(places for _, places in self.messages))

    @property
    def oldest(self) -> float:
        """When the oldest event came about; 0 where none says."""
        return min((at for _, at in self.happened), default=0.0)

    def waited(self, settled: Collection[Place], until: float) -> tuple[float, ...]:
        """Of the events whose object is among these, the seconds from each of them to `until`."""
        return tuple(max(0.0, until - at) for place, at in self.happened if place in settled)

    def done(self, again: Collection[Place]) -> list[QueueMessage]:
        """The messages of which no object is among those that are to be looked at again."""
        return [one for one, places in self.messages if places.isdisjoint(again)]


class EventQueue:
    """The queue of a source. `say` is told what a person should know."""

    def __init__(
        self,
        queue: Queue,
        source: SourceSettings,
        settings: EventSettings,
        say: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._source = source
        self._settings = settings
        self._say = say
        self._unreadable: set[str] = set()

    def gather(self, wait_s: int = MAX_WAIT_S) -> EventBatch:
        """What comes within `wait_s`, and for the time of a batch after that. Duplicates cost a
        message each, and an object once. Raises QueueUnavailable, QueueRefused."""
        batch = EventBatch()
        until = None
        while not self._is_full(batch):
            left_s = wait_s if until is None else math.ceil(until - time.monotonic())
            found = self._queue.receive(max(0, left_s), self._settings.visibility_s)
            for message in found:
                self._take(batch, message)
            if until is None:
                until = time.monotonic() + self._settings.batch_seconds
                if not found:
                    break
            if time.monotonic() >= until:
                break
        return batch

    @contextmanager
    def hidden(self, batch: EventBatch) -> Iterator[None]:
        """Nobody else is given the batch's messages while the context is open."""
        messages = [one for one, _ in batch.messages]
        seconds = self._settings.visibility_s
        done = threading.Event()

        def keep() -> None:
            while not done.wait(seconds / 3):
                with suppress(SensedexError):  # they come again, which does no harm
                    self._queue.hide(messages, seconds)

        thread = threading.Thread(target=keep, daemon=True, name="sensedex-visibility")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=10)

    def finish(self, batch: EventBatch, again: Collection[Place] = ()) -> int:
        """Delete the messages whose effect is committed; those of the objects `again` come once
        more by themselves. How many were deleted."""
        done = batch.done(again)
        self._queue.delete(done)
        return len(done)

    def give_back(self, batch: EventBatch) -> None:
        """At once, to whoever reads next: nothing was done about them."""
        with suppress(SensedexError):
            self._queue.hide([one for one, _ in batch.messages], 0)

    def _is_full(self, batch: EventBatch) -> bool:
        return (
            batch.events >= self._settings.batch_objects
            or batch.size_bytes >= self._settings.batch_mb * MIB
        )

    def _take(self, batch: EventBatch, message: QueueMessage) -> None:
        try:
            events = events_in(message.body)
        except NotAnEvent as error:
            batch.unreadable += 1
            if message.message_id not in self._unreadable:
                self._unreadable.add(message.message_id)
                self._say(f"Message {message.message_id}: {printable(error.message)} It is left.")
            if len(self._unreadable) > UNREADABLE_KNOWN:
                self._unreadable.clear()
            return
        ours = self._ours(events)
        batch.elsewhere += len(events) - len(ours)
        batch.events += len(ours)
        batch.size_bytes += sum(event.size_bytes for event in ours)
        batch.restored |= {event.place for event in ours if event.told is Told.RESTORED}
        batch.happened += [(e.place, e.happened_at) for e in ours if e.happened_at]
        batch.messages.append((message, frozenset(event.place for event in ours)))

    def _ours(self, events: Sequence[ObjectEvent]) -> list[ObjectEvent]:
        return [event for event in events if self._source.covers(*event.place)]
