"""Reads sound with PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av.error
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from pipeline.byte_ranges import ByteRanges
from pipeline.media.av_graph import chained
from pipeline.media.av_packets import BadDataError, bad_data_apart
from pipeline.media.container import foreign_errors, only, opened
from pipeline.media.frame_chain import sound_steps
from pipeline.media.packet_times import StreamPackets
from pipeline.media.probe import SoundTrack
from pipeline.media.window import SAMPLE_RATE_HZ
from pipeline.settings_embedding import DecodeSettings

_MAX_PROBLEMS = 4
_PIECE_SAMPLES = 8000
_PUSHES_PER_PULL = 16
_LONG_GAP_S = 10
"""The resampler would make the silence of a gap all at once, a day's for a hostile one: longer ones
are filled here, piece by piece."""


class PyavSound:
    """The sound of one file from the origin on; see `windows.Sound`."""

    def __init__(
        self,
        path: Path,
        track: SoundTrack,
        origin_s: Fraction,
        settings: DecodeSettings,
        fetched: ByteRanges | None = None,
    ) -> None:
        """`fetched` is what is there of the file, where that is not all."""
        self.joins = 0
        self.problems: list[str] = []
        self._path = path
        self._track = track
        self._origin_s = origin_s
        self._settings = settings
        self._fetched = fetched

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        with opened(self._path, self._settings, look_at_frames=False) as container:
            stream = container.streams[self._track.index]
            assert isinstance(stream, AudioStream)
            only(container, stream)
            stream.codec_context.thread_count = 1
            resampler: _Resampler | None = None
            heard_s = self._origin_s
            packets = StreamPackets(container, stream, self._fetched)
            for packet in packets:
                packets.look_at(packet)
                self.joins = packets.joins
                for frame in self._decode(stream, packet):
                    begins_s = _time_s(frame, heard_s)
                    gap = begins_s - heard_s > _LONG_GAP_S
                    if resampler is None or gap or not resampler.takes(frame):
                        given = 0
                        if resampler is not None:
                            yield from resampler.finish()
                            given = resampler.samples
                        if gap:
                            silent = int((begins_s - self._origin_s) * SAMPLE_RATE_HZ) - given
                            for _ in range(silent // _PIECE_SAMPLES):
                                yield np.zeros(_PIECE_SAMPLES, np.int16)
                                given += _PIECE_SAMPLES
                        resampler = _Resampler(frame, self._origin_s, given)
                    heard_s = max(heard_s, begins_s + Fraction(frame.samples, frame.sample_rate))
                    yield from resampler.convert(frame)
            for frame in self._decode(stream, None):
                if resampler is not None and resampler.takes(frame):
                    yield from resampler.convert(frame)
            if resampler is not None:
                yield from resampler.finish()

    def _decode(self, stream: AudioStream, packet: Packet[AudioStream] | None) -> list[AudioFrame]:
        try:
            with bad_data_apart():
                return list(stream.codec_context.decode(packet))
        except BadDataError as error:
            if len(self.problems) < _MAX_PROBLEMS:
                self.problems.append(f"sound: {error}")
            return []


class _Resampler:
    """One chain of filters for one format of sound; float inside, so that NaN can be found."""

    def __init__(self, frame: AudioFrame, origin_s: Fraction, given: int) -> None:
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
        self.samples = given  # so many went out before, from the origin on
        origin_s += Fraction(given, SAMPLE_RATE_HZ)
        chained(self._graph, source, sound_steps(origin_s, frame.layout.nb_channels), "abuffersink")
        self._graph.set_audio_frame_size(_PIECE_SAMPLES)

    def takes(self, frame: AudioFrame) -> bool:
        return _format_of(frame) == self._made_for

    def convert(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        with foreign_errors():
            self._graph.push(self._steady(frame))
        self._pushed += 1
        if self._pushed % _PUSHES_PER_PULL == 0:
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


def _time_s(frame: AudioFrame, otherwise_s: Fraction) -> Fraction:
    """When it begins, in the container's time."""
    stamp = frame.pts if frame.pts is not None else frame.dts
    return otherwise_s if stamp is None or frame.time_base is None else stamp * frame.time_base


def _format_of(frame: AudioFrame) -> tuple[object, ...]:
    return frame.sample_rate, frame.format.name, frame.layout.name, frame.time_base
