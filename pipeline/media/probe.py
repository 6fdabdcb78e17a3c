"""Reads a container's streams, its time line and how its frames are turned. Nothing is trusted.

Both decoders start from the same probe, made with PyAV, so that both count time from one origin.
"""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.errors import MediaRejected
from pipeline.media.container import declared_ms, only, opened
from pipeline.media.frame_chain import FrameChain, Orientation
from pipeline.media.grid import origin_of
from pipeline.records import MediaInfo, MediaType
from pipeline.settings_embedding import DecodeSettings

_FIRST_FRAME_PACKETS = 64


@dataclass(frozen=True, slots=True)
class PictureTrack:
    """The video stream that is read. What the container declares is 0 where it does not say.

    `has_pts` is false for H.264 and HEVC in AVI, which stores times of decoding only: what its
    demuxer makes up as times of presentation is wrong wherever frames are reordered.
    """

    index: int
    codec: str
    time_base: Fraction
    frame_rate: Fraction | None
    declared_s: Fraction
    declared_frames: int
    chain: FrameChain
    has_pts: bool
    decodable: bool


@dataclass(frozen=True, slots=True)
class SoundTrack:
    """The audio stream that is read. `declared_end_s` is counted from the origin. Of a codec that
    PyAV does not know, rate and channels are not known either: 0."""

    index: int
    codec: str
    declared_s: Fraction
    declared_end_s: Fraction
    sample_rate_hz: int
    channels: int
    decodable: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """`origin_s` is the earliest start of the streams read, in the container's own time."""

    info: MediaInfo
    origin_s: Fraction
    picture: PictureTrack | None
    sound: SoundTrack | None

    @classmethod
    def of_animation(cls, info: MediaInfo) -> Probe:
        """For a picture that is decoded elsewhere."""
        return cls(info, Fraction(0), None, None)


def probe(path: Path, settings: DecodeSettings) -> Probe:
    """Open, choose the best picture and sound, look at the first frame.

    Raises MediaRejected `no_streams`, `too_many_streams`, `too_many_pixels`, `undecodable`.
    """
    with opened(path, settings) as container:
        if len(container.streams) > settings.max_streams:
            raise MediaRejected(
                f"The container holds {len(container.streams)} streams, more than "
                f"{settings.max_streams}.",
                code="too_many_streams",
                remedy="Raise decode.max_streams if the object is to be trusted.",
            )
        video = _best_video(container)
        audio = container.streams.best("audio")
        assert audio is None or isinstance(audio, AudioStream)
        if video is None and audio is None:
            raise MediaRejected(
                "The container holds neither picture nor sound.",
                code="no_streams",
                remedy="Upload it again; a recording that was cut short often ends like this.",
            )
        origin = _origin([s for s in (video, audio) if s is not None])
        sound = None if audio is None else _sound_track(audio, origin)
        picture, first = None, None
        if video is not None:
            if video.codec_context is None:
                raise MediaRejected(
                    "No decoder is known for the picture.",
                    code="undecodable",
                    remedy="Convert it, to H.264 for example.",
                )
            check_pixels(video.width, video.height, settings)
            first = _first_frame(container, video)
            picture = _picture_track(video, first)
        info = MediaInfo(
            media_type=MediaType.AUDIO if picture is None else MediaType.VIDEO,
            container=container.format.name.split(",")[0],
            declared_ms=declared_ms(path, container, origin),
            sample_rate_hz=0 if sound is None else sound.sample_rate_hz,
            channels=0 if sound is None else sound.channels,
            audio_codec="" if sound is None else sound.codec,
        )
        if video is not None and picture is not None:
            info = _with_picture(info, video, first, picture)
        return Probe(info, origin, picture, sound)


def check_pixels(width: int, height: int, settings: DecodeSettings) -> None:
    """Refuse before anything of that size is allocated."""
    if width * height > settings.max_pixels:
        raise MediaRejected(
            f"The picture claims {width}x{height} pixels, more than {settings.max_pixels:,}.",
            code="too_many_pixels",
            remedy="Raise decode.max_pixels if the object is to be trusted.",
        )


def _best_video(container: InputContainer) -> VideoStream | None:
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    best = container.streams.best("video")
    if best is not None and any(s.index == best.index for s in moving):
        assert isinstance(best, VideoStream)
        return best
    known = [s for s in moving if s.codec_context is not None]
    largest = max(known, key=lambda s: s.width * s.height, default=None)
    return largest if largest is not None else next(iter(moving), None)


def _origin(streams: list[VideoStream | AudioStream]) -> Fraction:
    return origin_of(
        Fraction(s.start_time) * s.time_base
        for s in streams
        if s.start_time is not None and s.time_base is not None
    )


def _declared_s(stream: Stream) -> Fraction:
    if stream.duration is None or stream.time_base is None:
        return Fraction(0)
    return max(Fraction(0), stream.duration * stream.time_base)


def _sound_track(stream: AudioStream, origin_s: Fraction) -> SoundTrack:
    context = stream.codec_context
    decodable = context is not None
    declared = _declared_s(stream)
    start = Fraction(stream.start_time or 0) * (stream.time_base or 0)
    return SoundTrack(
        index=stream.index,
        codec=context.name if decodable else "",
        declared_s=declared,
        declared_end_s=max(Fraction(0), start + declared - origin_s) if declared else declared,
        sample_rate_hz=(stream.sample_rate or 0) if decodable else 0,
        channels=(stream.channels or 0) if decodable else 0,
        decodable=decodable,
    )


def _first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    if stream.codec_context is None:
        return None
    stream.codec_context.thread_count = 1
    only(container, stream)
    for number, packet in enumerate(container.demux(stream)):
        try:
            for frame in stream.codec_context.decode(packet if packet.size else None):
                return frame
        except av.error.InvalidDataError:
            pass
        if number >= _FIRST_FRAME_PACKETS:
            break
    return None


def _picture_track(stream: VideoStream, first: VideoFrame | None) -> PictureTrack:
    context = stream.codec_context
    width = first.width if first else stream.width
    height = first.height if first else stream.height
    if width <= 0 or height <= 0:
        raise MediaRejected("The video stream has no size.", code="undecodable")
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return PictureTrack(
        index=stream.index,
        codec=context.name if context is not None else "",
        time_base=stream.time_base or Fraction(1, 1000),
        frame_rate=stream.average_rate or stream.guessed_rate or None,
        declared_s=_declared_s(stream),
        declared_frames=stream.frames,
        chain=FrameChain.of(width, height, Fraction(aspect), _orientation(first)),
        has_pts=not (
            stream.container.format.name == "avi"
            and stream.codec_context is not None
            and stream.codec_context.name in ("h264", "hevc")
        ),
        decodable=context is not None,
    )


def _orientation(frame: VideoFrame | None) -> Orientation:
    if frame is None or "DISPLAYMATRIX" not in frame.side_data:
        return Orientation()
    data: Any = frame.side_data["DISPLAYMATRIX"]  # type: ignore[typeddict-item]
    return Orientation.of_matrix(struct.unpack("9i", bytes(data)[:36]))


def _with_picture(
    info: MediaInfo, stream: VideoStream, first: VideoFrame | None, track: PictureTrack
) -> MediaInfo:
    width = first.width if first else stream.width
    height = first.height if first else stream.height
    width = max(1, round(width * (stream.sample_aspect_ratio or 1)))
    if track.chain.orientation.on_its_side:
        width, height = height, width
    return dataclasses.replace(
        info,
        width=width,
        height=height,
        fps=float(track.frame_rate or 0),
        video_codec=track.codec,
        rotation_degrees=track.chain.orientation.clockwise_degrees,
    )
