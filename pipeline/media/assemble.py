"""Puts sampled frames and sound, each from its own reader, together into windows."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MediaRejected
from pipeline.media.grid import Grid
from pipeline.media.probe import Probe
from pipeline.media.window import (
    MIN_SOUND_MS,
    SAMPLE_RATE_HZ,
    SAMPLES_PER_MS,
    SILENT_PEAK,
    DecodeEnd,
    Window,
)
from pipeline.records import Segment, Status
from pipeline.settings_embedding import DecodeSettings

_MAX_PADDING_SAMPLES = SAMPLE_RATE_HZ // 10


class Picture(Protocol):
    """Frames at the samples of the grid, in order, `frames_per_window` for each window that the
    picture reaches into. Times are from the origin, in milliseconds.

    `start_ms` is known with the first frame; `end_ms` is None until the end is reached, and known
    before the last window's frames are given. `is_single` is true of one frame that the stream
    consists of: how long it is to be looked at, nobody can say. `joins` counts how often its times
    began anew, so that what the container declares holds for none of it. `problems` says what
    could not be read.
    """

    start_ms: int
    end_ms: int | None
    is_single: bool
    joins: int
    problems: list[str]

    def __iter__(self) -> Iterator[NDArray[np.uint8]]: ...


class Sound(Protocol):
    """16 kHz mono int16 from the origin on, in pieces of any length."""

    joins: int
    problems: list[str]

    def __iter__(self) -> Iterator[NDArray[np.int16]]: ...


def assemble(
    probe: Probe, picture: Picture | None, sound: Sound | None, settings: DecodeSettings
) -> Iterator[Window | DecodeEnd]:
    """Windows in order, then the end. Holds one window and the reader's next frame.

    Raises MediaRejected `empty_stream`, `undecodable`, `too_short` where there is nothing to give.
    """
    grid = Grid(settings.window_ms, settings.frames_per_window)
    frames = _Frames(picture, grid)
    pieces = _Pieces(sound, 0 if probe.sound is None else _samples(probe.sound.declared_end_s))
    window_samples = grid.window_ms * SAMPLES_PER_MS
    by_time = -(-settings.max_duration_s * 1000 // grid.window_ms)
    last_window = min(by_time, settings.max_segments)
    index, end_ms, cut = 0, 0, False
    while True:
        start_ms = index * grid.window_ms
        if index >= last_window:
            cut = True
            break
        pictured = frames.take()
        heard = pieces.take(window_samples)
        heard_ms = -(-len(heard) // SAMPLES_PER_MS)
        heard_any = heard if len(heard) >= MIN_SOUND_MS * SAMPLES_PER_MS else None
        if pictured is None and heard_any is None:
            break
        # The picture has not begun: what there is of the sound goes on alone.
        if pictured is not None and frames.begins_after(start_ms + grid.window_ms):
            pictured = None
        stop_ms = start_ms + heard_ms
        if frames.end_ms is None or frames.end_ms > start_ms + grid.window_ms:
            stop_ms = start_ms + grid.window_ms
        else:
            stop_ms = max(stop_ms, frames.end_ms)
        stop_ms = min(max(stop_ms, start_ms + 1), start_ms + grid.window_ms)
        if pictured is not None or heard_any is not None:
            end_ms = stop_ms
            yield Window(Segment(index, start_ms, stop_ms), pictured, heard_any)
        index += 1
    if end_ms == 0:
        raise _nothing(probe, pieces.samples, frames.problems + pieces.problems)
    note = _what_is_missing(probe, frames, pieces, cut, settings)
    yield DecodeEnd(
        Status.PARTIAL if note else Status.INDEXED,
        max(end_ms, pieces.samples // SAMPLES_PER_MS if not cut else 0),
        note,
        silent=pieces.samples > 0 and pieces.silent,
    )


class _Frames:
    """Takes a window's frames; looks one ahead, so that the end is known in the last window."""

    def __init__(self, picture: Picture | None, grid: Grid) -> None:
        self._picture = picture
        self._frames = iter(()) if picture is None else iter(picture)
        self._count = grid.frames_per_window
        self._next: NDArray[np.uint8] | None = next(self._frames, None)
        self.given = self._next is not None

    def take(self) -> NDArray[np.uint8] | None:
        if self._next is None:
            return None
        taken: list[NDArray[np.uint8]] = []
        while self._next is not None and len(taken) < self._count:
            taken.append(self._next)
            self._next = next(self._frames, None)
        return np.stack(taken + [taken[-1]] * (self._count - len(taken)))

    @property
    def end_ms(self) -> int | None:
        if self._picture is None or not self.given:
            return 0
        return self._picture.end_ms

    @property
    def single(self) -> bool:
        return self._picture is not None and self._picture.is_single

    @property
    def problems(self) -> list[str]:
        return [] if self._picture is None else self._picture.problems

    @property
    def joins(self) -> int:
        return 0 if self._picture is None else self._picture.joins

    def begins_after(self, time_ms: int) -> bool:
        return self._picture is not None and self._picture.start_ms >= time_ms


class _Pieces:
    """Takes a window's sound."""

    def __init__(self, sound: Sound | None, declared_samples: int) -> None:
        self._sound = sound
        self._pieces = iter(()) if sound is None else _unpadded(iter(sound), declared_samples)
        self._rest: NDArray[np.int16] = np.empty(0, np.int16)
        self.samples = 0
        self.silent = True

    def take(self, count: int) -> NDArray[np.int16]:
        got, have = [self._rest], len(self._rest)
        while have < count:
            piece = next(self._pieces, None)
            if piece is None:
                break
            got.append(piece)
            have += len(piece)
        whole = np.concatenate(got)
        self._rest = whole[count:].copy()
        taken = whole[:count].copy()
        self.samples += len(taken)
        self.silent = self.silent and bool((abs(taken) <= SILENT_PEAK).all())
        return taken

    @property
    def problems(self) -> list[str]:
        return [] if self._sound is None else self._sound.problems

    @property
    def joins(self) -> int:
        return 0 if self._sound is None else self._sound.joins


def _unpadded(
    pieces: Iterator[NDArray[np.int16]], declared_samples: int
) -> Iterator[NDArray[np.int16]]:
    """Without what a codec puts after the end to fill its last frame; FFmpeg's libraries differ in
    whether they leave it. Where far more follows than that, the declared end is wrong."""
    given = 0
    held: list[NDArray[np.int16]] = []
    for piece in pieces:
        fits = not held and given + len(piece) <= declared_samples
        if fits or not declared_samples:
            given += len(piece)
            yield piece
            continue
        held.append(piece)
        if given + sum(map(len, held)) > declared_samples + _MAX_PADDING_SAMPLES:
            yield from held
            held, declared_samples = [], 0
    if held:
        yield np.concatenate(held)[: declared_samples - given]


def _samples(time_s: Fraction) -> int:
    return round(time_s * SAMPLE_RATE_HZ)


def _nothing(probe: Probe, samples: int, problems: list[str]) -> MediaRejected:
    if samples:
        return MediaRejected(
            f"The object holds {samples / SAMPLES_PER_MS:.0f} ms of sound and no picture; "
            f"{MIN_SOUND_MS} ms is the least.",
            code="too_short",
        )
    what = " and ".join(
        name for name, track in (("picture", probe.picture), ("sound", probe.sound)) if track
    )
    if not problems:
        return MediaRejected(
            f"The container announces {what}, and holds no data of it.", code="empty_stream"
        )
    return MediaRejected(
        f"The container announces {what}, of which nothing could be decoded: {problems[0]}.",
        code="undecodable",
        remedy="Play it; if it does not play, upload it again.",
    )


def _what_is_missing(
    probe: Probe, frames: _Frames, pieces: _Pieces, cut: bool, settings: DecodeSettings
) -> str:
    if cut:
        by_time = settings.max_duration_s * 1000 <= settings.max_segments * settings.window_ms
        if by_time:
            return f"cut at decode.max_duration_s, {settings.max_duration_s} s"
        return f"cut at decode.max_segments, {settings.max_segments:,} windows"
    picture_ms = frames.end_ms or 0
    sound_ms = pieces.samples // SAMPLES_PER_MS
    missing = []
    if probe.picture is None and frames.problems:  # an animation, which declares no length
        missing.append(f"picture ends at {picture_ms} ms")
    joined = frames.joins + pieces.joins > 0
    tracks = (
        ("picture", probe.picture, picture_ms, frames.given),
        ("sound", probe.sound, sound_ms, sound_ms > 0),
    )
    for name, track, decoded_ms, any_of_it in tracks:
        if track is None:
            continue
        declared_ms = 0 if joined else int(track.declared_s * 1000)
        if not any_of_it:
            missing.append(f"none of the {name} could be decoded")
        elif (
            not (track is probe.picture and frames.single) and decoded_ms < 0.9 * declared_ms - 500
        ):
            missing.append(f"{name} ends at {decoded_ms} ms of {declared_ms} declared")
    decoded_ms = max(picture_ms, sound_ms)
    declared_ms = 0 if joined or frames.single else probe.info.declared_ms
    if not missing and decoded_ms < 0.9 * declared_ms - 500:
        missing.append(f"ends at {decoded_ms} ms of {probe.info.declared_ms} declared")
    if not missing:
        return ""
    return "; ".join(missing + (frames.problems + pieces.problems)[:3])
