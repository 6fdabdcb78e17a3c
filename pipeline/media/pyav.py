"""Reads picture and sound with PyAV: one thread, no packet decoded that no sample needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeVar, cast

import av.error
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.filter.context import FilterContext
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.errors import MediaRejected
from pipeline.media.frame_chain import FilterStep, FrameChain, sound_steps
from pipeline.media.grid import Grid, Ticks, milliseconds
from pipeline.media.packet_plan import PacketPlan, Step
from pipeline.media.probe import PictureTrack, SoundTrack, foreign_errors, only, opened
from pipeline.settings import DecodeSettings

_S = TypeVar("_S", bound=Stream)
_MAX_PROBLEMS = 4
_PIECE_SAMPLES = 8000
_PUSHES_A_PULL = 16


class PyavPicture:
    """The picture of one file at the samples of the grid; see `windows.Picture`."""

    def __init__(
        self, path: Path, track: PictureTrack, origin_s: Fraction, settings: DecodeSettings
    ) -> None:
        self.start_ms = 0
        self.end_ms: int | None = None
        self.is_single = False
        self.problems: list[str] = []
        self.decoded_frames = 0
        self._path = path
        self._track = track
        self._origin_s = origin_s
        self._settings = settings
        self._grid = Grid(settings.window_ms, settings.frames_per_window)
        self._ticks = Ticks.of(self._grid, track.time_base, origin_s)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        converter = FrameConverter(self._track.chain)
        shown: VideoFrame | None = None
        shown_pts = first_pts = 0
        given = 0
        with opened(self._path, self._settings) as container:
            stream = container.streams[self._track.index]
            assert isinstance(stream, VideoStream)
            only(container, stream)
            context = stream.codec_context
            context.thread_count = 1
            context.options = {"max_pixels": str(self._settings.max_pixels)}
            frame_ticks = self._frame_ticks()
            plan = PacketPlan(
                context.name, context.extradata, self._ticks, frame_ticks, self._track.has_pts
            )
            for frame in self._frames(stream, plan, _packets(container.demux(stream))):
                pts = frame.pts if self._track.has_pts else None
                pts = frame.dts if pts is None else pts
                if pts is None:
                    pts = shown_pts + frame_ticks
                if shown is None:
                    first_pts = pts
                    self.start_ms = max(0, self._ms(pts))
                elif pts <= shown_pts:
                    continue
                else:
                    due = self._ticks.samples_before(pts)
                    if given < due:
                        array = converter.convert(shown)
                    while given < due:
                        yield array
                        given += 1
                shown, shown_pts = frame, pts
            if shown is None:
                return
            end_pts = shown_pts + (shown.duration or frame_ticks)
            if plan.end_pts is not None and not self.problems:
                end_pts = max(end_pts, plan.end_pts)
            self.end_ms = max(1, self._ms(end_pts))
            self.is_single = shown_pts == first_pts and self._track.declared_frames <= 1
            array = converter.convert(shown)
            due = self._grid.windows_over(self.end_ms) * self._grid.frames_per_window
            for _ in range(given, due):
                yield array

    def _frames(
        self, stream: VideoStream, plan: PacketPlan, packets: Iterable[Packet[VideoStream]]
    ) -> Iterator[VideoFrame]:
        context = stream.codec_context
        for step in plan.steps(packets):
            if step.restart:
                yield from self._decode(stream, None)
                context.flush_buffers()
            skip = not step.shown and plan.can_skip_unreferenced
            context.skip_frame = "NONREF" if skip else "DEFAULT"
            yield from self._decode(stream, step)
        yield from self._decode(stream, None)

    def _decode(self, stream: VideoStream, step: Step | None) -> Iterator[VideoFrame]:
        try:
            with _bad_data_apart():
                frames = stream.codec_context.decode(None if step is None else step.packet)
        except _BadDataError as error:
            if len(self.problems) < _MAX_PROBLEMS:
                self.problems.append(f"picture: {error}")
            return
        self.decoded_frames += len(frames)
        yield from frames

    def _frame_ticks(self) -> int:
        rate = self._track.frame_rate or Fraction(25)
        return max(1, round(1 / (rate * self._track.time_base)))

    def _ms(self, pts: int) -> int:
        return milliseconds(pts * self._track.time_base - self._origin_s)


class PyavSound:
    """The sound of one file from the origin on; see `windows.Sound`."""

    def __init__(
        self, path: Path, track: SoundTrack, origin_s: Fraction, settings: DecodeSettings
    ) -> None:
        self.problems: list[str] = []
        self._path = path
        self._track = track
        self._origin_s = origin_s
        self._settings = settings

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        with opened(self._path, self._settings, look_at_frames=False) as container:
            stream = container.streams[self._track.index]
            assert isinstance(stream, AudioStream)
            only(container, stream)
            stream.codec_context.thread_count = 1
            resampler: _Resampler | None = None
            for packet in _packets(container.demux(stream)):
                for frame in self._decode(stream, packet):
                    if resampler is None or not resampler.takes(frame):
                        if resampler is not None:
                            yield from resampler.finish()
                        resampler = _Resampler(frame, self._origin_s, resampler)
                    yield from resampler.convert(frame)
            for frame in self._decode(stream, None):
                if resampler is not None and resampler.takes(frame):
                    yield from resampler.convert(frame)
            if resampler is not None:
                yield from resampler.finish()

    def _decode(self, stream: AudioStream, packet: Packet[AudioStream] | None) -> list[AudioFrame]:
        try:
            with _bad_data_apart():
                return list(stream.codec_context.decode(packet))
        except _BadDataError as error:
            if len(self.problems) < _MAX_PROBLEMS:
                self.problems.append(f"sound: {error}")
            return []


class FrameConverter:
    """Native frames to upright RGB 224x224; a graph of filters is built a format, not a frame."""

    def __init__(self, chain: FrameChain) -> None:
        self._chain = chain
        self._graph: av.filter.Graph | None = None
        self._made_for: tuple[object, ...] = ()

    def convert(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """(224, 224, 3) uint8."""
        made_for = (
            frame.width, frame.height, frame.format.name, int(frame.colorspace),
            int(frame.color_range),
        )  # fmt: skip
        with foreign_errors():
            if self._graph is None or made_for != self._made_for:
                self._graph = self._build(frame)
                self._made_for = made_for
            frame.pts = None
            self._graph.vpush(frame)
            return cast("NDArray[np.uint8]", self._graph.vpull().to_ndarray())

    def _build(self, frame: VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        graph.threads = 1
        source = graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base="1/1000",
            pixel_aspect="1/1",
            colorspace=str(int(frame.colorspace)),
            range=str(int(frame.color_range)),
        )
        return _chained(graph, source, self._chain.steps(), "buffersink")


class _Resampler:
    """One chain of filters for one format of sound; float inside, so that NaN can be found."""

    def __init__(self, frame: AudioFrame, origin_s: Fraction, before: _Resampler | None) -> None:
        self._made_for = _format_of(frame)
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        source = self._graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=Fraction(1, frame.sample_rate),
        )
        self._base = frame.time_base or Fraction(1, frame.sample_rate)
        self._next_pts: int | None = None
        self._pushed = 0
        self.samples: int = 0 if before is None else before.samples
        origin_s += Fraction(self.samples, 16_000)
        _chained(self._graph, source, sound_steps(origin_s), "abuffersink")
        self._graph.set_audio_frame_size(_PIECE_SAMPLES)

    def takes(self, frame: AudioFrame) -> bool:
        return _format_of(frame) == self._made_for

    def convert(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        with foreign_errors():
            self._graph.push(self._steady(frame))
        self._pushed += 1
        if self._pushed % _PUSHES_A_PULL == 0:
            yield from self._pull()

    def _steady(self, frame: AudioFrame) -> AudioFrame:
        """Times in samples: a container's ticks, often milliseconds, are too coarse to be taken at
        their word where one frame follows the other."""
        rate, base = frame.sample_rate, self._base
        stamp = frame.pts if frame.pts is not None else frame.dts
        at = self._next_pts or 0
        if stamp is not None:
            tick = base.numerator * rate
            stamped = (2 * stamp * tick + base.denominator) // (2 * base.denominator)
            off = abs(stamped - at) * base.denominator
            if self._next_pts is None or off > tick + base.denominator:
                at = stamped
        frame.pts, frame.time_base = at, Fraction(1, rate)
        self._next_pts = at + frame.samples
        return frame

    def finish(self) -> Iterator[NDArray[np.int16]]:
        with foreign_errors():
            self._graph.push(None)
        yield from self._pull()

    def _pull(self) -> Iterator[NDArray[np.int16]]:
        while True:
            with foreign_errors():
                try:
                    piece = self._graph.pull()
                except (av.error.BlockingIOError, av.error.EOFError):
                    return
            samples = to_int16(cast("NDArray[np.float32]", piece.to_ndarray().reshape(-1)))
            self.samples += len(samples)
            yield samples


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Float in [-1, 1) to int16; what is not a number becomes silence.

    The resampler is a filter of some 2 ms, so that one NaN costs no more than that.
    """
    whole: NDArray[np.float32] = samples * np.float32(32768)
    if not np.isfinite(whole).all():
        whole = np.where(np.isfinite(whole), whole, np.float32(0))
    return np.clip(np.rint(whole), -32768, 32767).astype(np.int16)


def _format_of(frame: AudioFrame) -> tuple[object, ...]:
    return frame.sample_rate, frame.format.name, frame.layout.name, frame.time_base


def _chained(
    graph: av.filter.Graph,
    source: FilterContext,
    steps: list[FilterStep],
    sink: Literal["buffersink", "abuffersink"],
) -> av.filter.Graph:
    last = source
    for name, options in steps:
        # With no option a filter's argument is None, not an empty set.
        step = graph.add(name, **options) if options else graph.add(name)
        last.link_to(step)
        last = step
    last.link_to(graph.add(sink))
    graph.configure()
    return graph


def _packets(packets: Iterator[Packet[_S]]) -> Iterator[Packet[_S]]:
    """Without the empty packet that PyAV ends with; a file cut short ends where it is cut."""
    while True:
        try:
            packet = next(packets, None)
        except av.error.InvalidDataError:
            return
        if packet is None or not packet.size:
            return
        yield packet


class _BadDataError(Exception):
    """One packet that could not be decoded; the rest may well be."""


@contextlib.contextmanager
def _bad_data_apart() -> Iterator[None]:
    """Bad data costs a packet; anything else, the object."""
    with foreign_errors():
        try:
            yield
        except (av.error.InvalidDataError, av.error.PatchWelcomeError) as error:
            raise _BadDataError(error.strerror) from error


@dataclass(frozen=True, slots=True)
class PacketSpan:
    """First and last timestamp of a stream's packets, and where the last one ends."""

    start_pts: int
    last_pts: int
    end_pts: int


def packet_span(path: Path, track: PictureTrack, settings: DecodeSettings) -> PacketSpan | None:
    """Reads all packets and decodes none; None where there are none.

    A pipe of raw frames carries no times: this is how the ffmpeg way learns where the picture ends.
    """
    rate = track.frame_rate or Fraction(25)
    frame_ticks = max(1, round(1 / (rate * track.time_base)))
    start = last = end = None
    with opened(path, settings, look_at_frames=False) as container:
        stream = container.streams[track.index]
        only(container, stream)
        for packet in _packets(container.demux(stream)):
            stamp = packet.pts if track.has_pts else None
            stamp = packet.dts if stamp is None else stamp
            if packet.is_discard or stamp is None:
                continue
            start = stamp if start is None else min(start, stamp)
            last = stamp if last is None else max(last, stamp)
            finish = stamp + (packet.duration or frame_ticks)
            end = finish if end is None else max(end, finish)
    if start is None or last is None or end is None:
        return None
    return PacketSpan(start, last, end)


def first_picture(path: Path, track: PictureTrack, settings: DecodeSettings) -> NDArray[np.uint8]:
    """The first frame, upright, at its full size. Raises MediaRejected `undecodable`."""
    with opened(path, settings) as container, foreign_errors():
        stream = container.streams[track.index]
        assert isinstance(stream, VideoStream)
        stream.codec_context.options = {"max_pixels": str(settings.max_pixels)}
        for frame in container.decode(stream):
            array = cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24"))
            turns = track.chain.orientation.clockwise_degrees // 90
            if track.chain.orientation.mirrored:
                array = array[:, ::-1]
            return np.ascontiguousarray(np.rot90(array, -turns))
    raise MediaRejected("The picture holds no frame.", code="empty_stream")
