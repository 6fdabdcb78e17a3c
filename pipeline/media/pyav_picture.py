"""Reads the picture with PyAV: one thread or a device, no packet decoded that no sample needs."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.byte_ranges import ByteRanges, NotFetchedError
from pipeline.errors import MediaRejected
from pipeline.media.av_graph import FrameConverter
from pipeline.media.av_packets import BadDataError, bad_data_apart
from pipeline.media.container import foreign_errors, only, opened
from pipeline.media.grid import Grid, Ticks, milliseconds
from pipeline.media.keyframes import KeyframeWindows
from pipeline.media.nvdec import NvdecUse
from pipeline.media.packet_plan import PacketPlan, Step
from pipeline.media.packet_times import StreamPackets
from pipeline.media.probe import PictureTrack
from pipeline.settings_embedding import DecodeSettings

_MAX_PROBLEMS = 4


class PyavPicture:
    """The picture of one file at the samples of the grid; see `windows.Picture`."""

    def __init__(
        self,
        path: Path,
        track: PictureTrack,
        origin_s: Fraction,
        settings: DecodeSettings,
        fetched: ByteRanges | None = None,
        nvdec: NvdecUse | None = None,
    ) -> None:
        """`fetched` is what is there of the file, where that is not all."""
        self.start_ms = 0
        self.end_ms: int | None = None
        self.is_single = False
        self.joins = 0
        self.problems: list[str] = []
        self.decoded_frames = 0
        self._path = path
        self._track = track
        self._origin_s = origin_s
        self._settings = settings
        self._fetched = fetched
        self._nvdec = nvdec
        self._grid = Grid(settings.window_ms, settings.frames_per_window)
        self._ticks = Ticks.of(self._grid, track.time_base, origin_s)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        converter = FrameConverter(self._track.chain)
        shown: VideoFrame | None = None
        shown_pts = first_pts = 0
        given = 0
        accelerator = None if self._nvdec is None else self._nvdec.accelerator()
        with opened(self._path, self._settings, accelerator=accelerator) as container:
            stream = container.streams[self._track.index]
            assert isinstance(stream, VideoStream)
            only(container, stream)
            context = stream.codec_context
            context.thread_count = 1
            context.options = {"max_pixels": str(self._settings.max_pixels)}
            frame_ticks = self._frame_ticks()
            plan = PacketPlan(
                context.name,
                context.extradata,
                self._ticks,
                frame_ticks,
                self._track.has_pts,
                self._keyframes(),
            )
            choice = _Choice(plan.keyframes, self._grid.frames_per_window)
            keys = None if plan.keyframes is None else _keys_by_index(container, stream)
            if keys is None and self._fetched is not None:
                raise NotFetchedError
            packets = StreamPackets(container, stream, self._fetched, keys)
            for frame in self._frames(stream, plan, packets):
                pts = frame.pts if self._track.has_pts else None
                pts = frame.dts if pts is None else pts
                if pts is None:
                    pts = shown_pts + frame_ticks if shown is not None else 0
                if shown is None:
                    first_pts = pts
                    self.start_ms = max(0, self._ms(pts))
                elif pts <= shown_pts:
                    continue
                else:
                    due = self._ticks.samples_before(pts)
                    converted: VideoFrame | None = None
                    while given < due:
                        chosen = choice.at(given, shown, frame, pts)
                        if chosen is None:
                            break
                        if chosen is not converted:
                            array, converted = converter.convert(chosen), chosen
                        yield array
                        given += 1
                    chosen = converted = None  # native frames are large: none is kept without need
                choice.came(frame, pts)
                shown, shown_pts = frame, pts
            if shown is None:
                return
            end_pts = shown_pts + (shown.duration or frame_ticks)
            if plan.end_pts is not None and not self.problems:
                end_pts = max(end_pts, plan.end_pts)
            self.joins = packets.joins
            self.end_ms = max(1, self._ms(end_pts))
            one_frame = plan.frames <= 1 if plan.keyframes else shown_pts == first_pts
            self.is_single = one_frame and self._track.declared_frames <= 1
            due = self._grid.windows_over(self.end_ms) * self._grid.frames_per_window
            converted = None
            for sample in range(given, due):
                chosen = choice.at(sample, shown) or shown
                if chosen is not converted:
                    array, converted = converter.convert(chosen), chosen
                yield array

    def _keyframes(self) -> KeyframeWindows | None:
        if self._settings.sampling == "exact":
            return None
        alone = self._settings.sampling == "keyframes_only"
        base = self._track.time_base
        return KeyframeWindows(self._grid, base, self._origin_s, only=alone)

    def _frames(
        self, stream: VideoStream, plan: PacketPlan, packets: StreamPackets[VideoStream]
    ) -> Iterator[VideoFrame]:
        context = stream.codec_context
        for step in plan.steps(packets):
            packets.look_at(step.packet)
            if step.restart:
                yield from self._decode(stream, None)
                context.flush_buffers()
            skip = not step.shown and plan.can_skip_unreferenced
            context.skip_frame = "NONREF" if skip else "DEFAULT"
            yield from self._decode(stream, step)
        yield from self._decode(stream, None)

    def _decode(self, stream: VideoStream, step: Step | None) -> Iterator[VideoFrame]:
        try:
            with bad_data_apart():
                frames = stream.codec_context.decode(None if step is None else step.packet)
        except BadDataError as error:
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


def _keys_by_index(container: InputContainer, stream: VideoStream) -> frozenset[int] | None:
    """At which bytes the key frames of an MP4 or QuickTime film lie, by its index; None of any
    other, and of one in fragments, each of which has its own."""
    entries = stream.index_entries
    if not container.format.name.startswith("mov") or len(entries) != stream.frames:
        return None
    return frozenset(entry.pos for entry in entries if entry.is_keyframe)


class _Choice:
    """Which of the frames that were decoded a sample shows: the last one, but where key frames
    stand for its window, the last of these in it, or else the first."""

    def __init__(self, keyframes: KeyframeWindows | None, frames_per_window: int) -> None:
        self._keyframes = keyframes
        self._per_window = frames_per_window
        self._key: VideoFrame | None = None
        self._key_window = -1

    def at(
        self, sample: int, last: VideoFrame, coming: VideoFrame | None = None, pts: int = 0
    ) -> VideoFrame | None:
        """None where its window's key frame is still to come; `coming`, at `pts`, is next."""
        if self._keyframes is None:
            return last
        window = sample // self._per_window
        if not self._keyframes.stand_for(window):
            return last
        if self._key_window == window:
            return self._key
        if coming is None or self._keyframes.window_of(pts) > window:
            return last  # it could not be decoded
        return coming if self._keyframes.holds(pts) else None

    def came(self, frame: VideoFrame, pts: int) -> None:
        """It is the last one now."""
        if self._keyframes is not None and self._keyframes.holds(pts):
            self._key, self._key_window = frame, self._keyframes.window_of(pts)
            self._keyframes.forget_before(self._key_window - 1)


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
