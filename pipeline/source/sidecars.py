"""Text beside media: subtitles with times (.srt, .vtt) and captions without (.txt).

A cue belongs to every window that it overlaps; a caption belongs to every window, since it says
something about the whole object. Neighbouring windows with the same text become one moment again
when they are searched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import pysubs2

from pipeline.records import Failure, Segment

MAX_SIDECAR_BYTES = 4 * 2**20
TIMED_SUFFIXES = (".srt", ".vtt")


@dataclass(frozen=True, slots=True)
class Cue:
    """What is said from `start_ms` up to `end_ms`; a caption has no times."""

    text: str
    start_ms: int | None = None
    end_ms: int | None = None

    def overlaps(self, segment: Segment) -> bool:
        if self.start_ms is None or self.end_ms is None:
            return True
        # A still is the empty span [0, 0): a timed cue has nothing to say about it.
        return self.start_ms < segment.end_ms and self.end_ms > segment.start_ms


@dataclass(frozen=True, slots=True)
class Sidecars:
    """All cues of an object. A sidecar that cannot be read is a failure beside them, not the
    object's end: the picture and the sound are indexed all the same."""

    cues: tuple[Cue, ...] = ()
    failures: tuple[Failure, ...] = ()

    def text_of(self, segment: Segment) -> str:
        """The cues that overlap the segment, in their order, each once; empty if there is none."""
        texts = [cue.text for cue in self.cues if cue.overlaps(segment)]
        return " ".join(dict.fromkeys(texts))


def parse_sidecar(key: str, data: bytes) -> list[Cue]:
    """Raises ValueError, with the key in it, for what is not text or has broken times."""
    if len(data) > MAX_SIDECAR_BYTES:
        raise ValueError(f"sidecar {key!r} is larger than {MAX_SIDECAR_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"sidecar {key!r} is not UTF-8 text") from error
    if "\0" in text:
        raise ValueError(f"sidecar {key!r} holds NUL characters: it is not text")
    suffix = PurePosixPath(key).suffix.lower()
    if suffix not in TIMED_SUFFIXES:
        caption = " ".join(text.split())
        return [Cue(caption)] if caption else []
    try:
        events = pysubs2.SSAFile.from_string(text, format_=suffix.removeprefix(".")).events
    except (pysubs2.Pysubs2Error, ValueError) as error:
        raise ValueError(f"sidecar {key!r} is no {suffix} file: {error}") from error
    if text.strip() and not events:
        raise ValueError(f"sidecar {key!r} has not one cue")
    spoken = [(" ".join(e.plaintext.split()), e) for e in events if e.end > e.start]
    return [Cue(words, e.start, e.end) for words, e in spoken if words]


def read_sidecars(files: Iterable[tuple[str, bytes]]) -> Sidecars:
    """`files` are (key, content)."""
    cues: list[Cue] = []
    failures: list[Failure] = []
    for key, data in files:
        try:
            cues += parse_sidecar(key, data)
        except ValueError as error:
            failures.append(
                Failure("sidecar", "bad_sidecar", False, str(error), "Mend or remove the sidecar.")
            )
    return Sidecars(tuple(cues), tuple(failures))
