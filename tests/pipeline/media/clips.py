"""Small clips whose frames carry their own number, so that a sampled frame says which one it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.media.decode import decode
from pipeline.media.ffmpeg import find_ffmpeg
from pipeline.media.window import DecodeEnd, Window
from pipeline.records import MediaInfo
from pipeline.settings_embedding import DecodeSettings

STEP = 4
"""Luma levels between two numbers; a half of the frame holds numbers below BASE."""
BASE = 50


def numbered_frame(number: int, width: int, height: int) -> av.VideoFrame:
    """Left half: number % BASE, right half: number // BASE, as grey."""
    frame = av.VideoFrame(width, height, "yuv420p")
    luma = np.full((height, frame.planes[0].line_size), 16, np.uint8)
    luma[:, : width // 2] += STEP * (number % BASE)
    luma[:, width // 2 :] += STEP * (number // BASE)
    frame.planes[0].update(luma.tobytes())
    for plane in frame.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    return frame


def read_number(frame: NDArray[np.uint8]) -> int:
    """The inverse, from (224, 224, 3) RGB."""
    left = frame[80:140, 20:90].mean() * 219 / 255 / STEP
    right = frame[80:140, 134:204].mean() * 219 / 255 / STEP
    return round(left) + BASE * round(right)


def write_numbered(
    path: Path,
    times_s: Sequence[Fraction | float],
    *,
    codec: str = "libx264",
    numbers: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    time_base: Fraction = Fraction(1, 12800),
    size: tuple[int, int] = (64, 64),
    rotation: int = 0,
    pixel_aspect: Fraction | None = None,
    sound: NDArray[np.int16] | None = None,
    sound_start_s: float = 0.0,
    sound_rate_hz: int = 16_000,
    sound_codec: str = "pcm_s16le",
) -> Path:
    """Frame n is shown from times_s[n] on, and carries n or numbers[n]. Sound is mono."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = time_base
        stream.codec_context.time_base = time_base
        if codec == "libx264" and not options:
            stream.options = {"crf": "4", "g": "40", "bf": "3"}
        if rotation:
            stream.set_display_rotation(rotation)
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        track = None
        if sound is not None:
            track = container.add_stream(sound_codec, rate=sound_rate_hz, layout="mono")
        packets = []
        for number, time_s in enumerate(times_s):
            frame = numbered_frame(number if numbers is None else numbers[number], *size)
            frame.time_base = time_base
            frame.pts = round(Fraction(time_s) / time_base)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if track is not None and sound is not None:
            packets += list(_sound_packets(track, sound, sound_start_s, sound_rate_hz))
        for packet in sorted(packets, key=lambda p: (p.dts or 0) * p.time_base):
            container.mux(packet)
    return path


def write_sound(
    path: Path, sound: NDArray[np.int16], rate_hz: int = 16_000, codec: str = "pcm_s16le"
) -> Path:
    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=rate_hz, layout="mono")
        for packet in _sound_packets(track, sound, 0.0, rate_hz):
            container.mux(packet)
    return path


def _sound_packets(
    track: av.AudioStream, sound: NDArray[np.int16], start_s: float, rate_hz: int
) -> Iterator[av.Packet]:
    resampler = av.AudioResampler(format=track.format, layout="mono", rate=rate_hz)
    for at in range(0, len(sound), 1024):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound[None, at : at + 1024]), format="s16", layout="mono"
        )
        frame.sample_rate = rate_hz
        frame.pts = round(start_s * rate_hz) + at
        frame.time_base = Fraction(1, rate_hz)
        for converted in resampler.resample(frame):
            yield from track.encode(converted)
    yield from track.encode(None)


def tone(seconds: float, rate_hz: int = 16_000, frequency_hz: float = 440.0) -> NDArray[np.int16]:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (8000 * np.sin(2 * np.pi * frequency_hz * times)).astype(np.int16)


def on_screen(times_s: Sequence[Fraction | float], at_s: Fraction) -> int:
    """The rule, said plainly: the last frame not after the time, else the first."""
    shown = [n for n, time_s in enumerate(times_s) if Fraction(time_s) <= at_s]
    return shown[-1] if shown else 0


@dataclass(frozen=True)
class Decoded:
    info: MediaInfo
    windows: list[Window]
    end: DecodeEnd

    @property
    def numbers(self) -> list[list[int] | None]:
        return [
            None if w.frames is None else [read_number(frame) for frame in w.frames]
            for w in self.windows
        ]

    @property
    def spans(self) -> list[tuple[int, int]]:
        return [(w.segment.start_ms, w.segment.end_ms) for w in self.windows]

    @property
    def sound(self) -> NDArray[np.int16]:
        return np.concatenate([w.sound for w in self.windows if w.sound is not None])


def decoded(path: Path, settings: DecodeSettings | None = None, **options: object) -> Decoded:
    """All of it, checked for its order."""
    settings = settings or DecodeSettings(**options)  # type: ignore[arg-type]
    info, *windows, end = list(decode(path, settings))
    assert isinstance(info, MediaInfo)
    assert isinstance(end, DecodeEnd)
    assert all(isinstance(w, Window) for w in windows)
    return Decoded(info, windows, end)  # type: ignore[arg-type]


def ffmpegs() -> list[Path]:
    """Every ffmpeg of this machine: the system's, where there is one, and the wheel's."""
    wheel = Path(imageio_ffmpeg.get_ffmpeg_exe())
    found = find_ffmpeg(DecodeSettings())
    return [wheel] if found.path == wheel else [found.path, wheel]
