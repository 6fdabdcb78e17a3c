"""One picture of a media file, to be looked at: the whole frame at a time, upright, made smaller.

Of a film the decoder goes to the key frame before that time and on from there, so that a picture of
its last minute costs no more than one of its first.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import MediaRejected
from pipeline.media.av_packets import BadDataError, bad_data_apart
from pipeline.media.container import only, opened
from pipeline.media.grid import milliseconds
from pipeline.media.image import UnknownToPillowError, open_picture, upright
from pipeline.media.probe import PictureTrack, probe
from pipeline.media.pyav_picture import first_picture
from pipeline.media.sniff import Kind, sniff
from pipeline.settings_embedding import DecodeSettings

LARGEST_SIDE = 1024
MOST_FRAMES = 1_000  # between two key frames; the last of them is taken then
MOST_BAD = 16
SQUARE_WITHIN = Fraction(1, 64)


@dataclass(frozen=True, slots=True)
class Poster:
    """`pixels` is uint8 (height, width, 3), RGB."""

    pixels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(f"a poster has the shape {self.pixels.shape}")
        if not 1 <= min(self.pixels.shape[:2]) <= max(self.pixels.shape[:2]) <= LARGEST_SIDE:
            raise ValueError(f"a poster of {self.pixels.shape[1]}x{self.pixels.shape[0]}")


def poster(path: Path, settings: DecodeSettings, at_ms: int, side: int) -> Poster:
    """The frame that is on screen at `at_ms`, no side of it longer than `side`. To be called in the
    child (`sandbox/poster.py`).

    Raises MediaRejected, with `no_picture` where there is sound alone.
    """
    if sniff(path) is Kind.PICTURE:
        try:
            with open_picture(path, settings) as picture:
                return _small(upright(picture), side)
        except UnknownToPillowError:
            pass
    probed = probe(path, settings)
    if probed.picture is None:
        raise MediaRejected("There is no picture in it.", code="no_picture")
    if probed.picture.declared_frames == 1 or not probed.picture.decodable:
        return _small(Image.fromarray(first_picture(path, probed.picture, settings)), side)
    return _of_film(path, probed.picture, probed.origin_s, settings, at_ms, side)


def _of_film(
    path: Path,
    track: PictureTrack,
    origin_s: Fraction,
    settings: DecodeSettings,
    at_ms: int,
    side: int,
) -> Poster:
    with opened(path, settings) as container:
        stream = container.streams[track.index]
        assert isinstance(stream, VideoStream)
        only(container, stream)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(settings.max_pixels)}
        wanted = int((Fraction(at_ms, 1000) + origin_s) / track.time_base)
        frame = None
        for start in (wanted, None):  # where it cannot be gone to, from the beginning
            if start is not None and at_ms > 0 and not _gone_to(container, stream, start):
                continue
            frame = _frame_at(container, stream, track, origin_s, at_ms)
            if frame is not None or at_ms == 0:
                break
            container.seek(0)
        if frame is None:
            raise MediaRejected("The picture holds no frame.", code="empty_stream")
        return _turned(frame, track, side)


def _gone_to(container: InputContainer, stream: VideoStream, offset: int) -> bool:
    try:
        with bad_data_apart():
            container.seek(offset, stream=stream, backward=True)
    except (BadDataError, MediaRejected):
        return False
    return True


def _frame_at(
    container: InputContainer,
    stream: VideoStream,
    track: PictureTrack,
    origin_s: Fraction,
    at_ms: int,
) -> VideoFrame | None:
    """The last frame that begins by then, or the first that there is."""
    shown: VideoFrame | None = None
    seen = bad = 0
    for packet in container.demux(stream):
        try:
            with bad_data_apart():
                frames = stream.codec_context.decode(packet)
        except BadDataError:
            bad += 1
            if bad > MOST_BAD:
                break
            continue
        for frame in frames:
            seen += 1
            pts = frame.pts if frame.pts is not None else frame.dts
            begins_ms = None if pts is None else milliseconds(pts * track.time_base - origin_s)
            if begins_ms is not None and begins_ms > at_ms and shown is not None:
                return shown
            shown = frame
            if begins_ms is None or begins_ms > at_ms or seen >= MOST_FRAMES:
                return shown
    return shown


def _turned(frame: VideoFrame, track: PictureTrack, side: int) -> Poster:
    chain = track.chain
    shown = Fraction(chain.scaled_width, chain.scaled_height)
    stored = Fraction(frame.width, frame.height)
    # The chain's sizes are whole pixels of a small frame: they tell what pixels are not square.
    aspect = stored if abs(stored / shown - 1) < SQUARE_WITHIN else shown
    longest = min(side, max(frame.width, frame.height))
    width = max(1, longest if aspect >= 1 else round(longest * aspect))
    height = max(1, longest if aspect < 1 else round(longest / aspect))
    array = cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24", width=width, height=height))
    if chain.orientation.mirrored:
        array = array[:, ::-1]
    turns = chain.orientation.clockwise_degrees // 90
    return Poster(np.ascontiguousarray(np.rot90(array, -turns)))


def _small(picture: Image.Image, side: int) -> Poster:
    picture.thumbnail((side, side), Image.Resampling.BICUBIC)
    return Poster(np.asarray(picture.convert("RGB")))
