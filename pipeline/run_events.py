"""The things that happen once in a run, as records: told by the run, heard by who looks on.

Beside the counts of `pipeline.progress`, which are looked at as they are, these are each heard
exactly once: by metrics, traces and logs. Nobody who hears may fail a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """A part of the run's time has ended, now; `seconds` long."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TraceBegun:
    """The run has a trace, of this id, in hexadecimal."""

    trace_id: str


@dataclass(frozen=True, slots=True)
class LeaseTaken:
    """From here on the run writes. `renewed_at` gives the time of the last renewal, in seconds
    since 1970; `last_whole_run` is when the last run that wrote the state began, if that is
    known."""

    run_id: str
    sequence: int
    renewed_at: Callable[[], float]
    last_whole_run: float | None = None


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step of the run's protocol has ended, now, well or by an error of this code; `number` is
    the load's, from 1, where several are under way."""

    name: str
    seconds: float
    code: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class StepRetried:
    """A step is tried again, after an error of this code."""

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ObjectEnded:
    """An object that did not get in, or that took long: its key, how it ended and why; `seconds`
    are those that were spent on it alone."""

    key: str
    status: str
    seconds: float
    code: str = ""
    message: str = ""
    stage: str = ""


@dataclass(frozen=True, slots=True)
class ShardCommitted:
    """A shard's data and receipt are kept. `told` are those of its objects that failed, or took
    some time; a quick one that got in is in the counts alone."""

    shard: int
    segments: int
    objects_by_status: Mapping[str, int]
    told: tuple[ObjectEnded, ...] = ()
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class ShardLoaded:
    """A shard can be searched, now. `upsert_seconds` are those of each request that wrote."""

    shard: int
    segments: int
    seconds: float
    upsert_seconds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Searched:
    """A search was asked and answered, in `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class NotificationsRead:
    """Event notifications were read from their queue, now, and are kept hidden. `oldest` is when
    the oldest of what they tell came about, in seconds since 1970; 0 where none says."""

    messages: int
    oldest: float


@dataclass(frozen=True, slots=True)
class NotificationsDone:
    """What they told is committed, now, and their messages are deleted, but for those that are to
    come again. `messages_by_outcome` says which; `waited_seconds` are from each event until now, of
    those whose object is searchable, or gone."""

    messages_by_outcome: Mapping[str, int]
    waited_seconds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Warned:
    """Something went wrong that fails no run."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last of all. `code` is empty for a run that did all there was to do; then the counts are
    those of its report."""

    code: str = ""
    message: str = ""
    objects_by_status: Mapping[str, int] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return not self.code


RunEvent = (
    TraceBegun
    | PhaseEnded
    | LeaseTaken
    | StepEnded
    | StepRetried
    | ShardCommitted
    | ShardLoaded
    | Searched
    | NotificationsRead
    | NotificationsDone
    | Warned
    | RunEnded
)
OnEvent = Callable[[RunEvent], None]


def ignore_event(_: RunEvent) -> None:
    """For callers that do not listen."""
