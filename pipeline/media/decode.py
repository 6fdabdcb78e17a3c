"""Decodes one local file into windows: first what it is, then the windows, then how it ended.

`decode_in_child` (pipeline/media/sandbox/client.py) does the same in a process of its own, with
limits; media from elsewhere is decoded there.
"""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pipeline.byte_ranges import ByteRanges, NotFetchedError
from pipeline.errors import MediaRejected
from pipeline.media.assemble import Picture, Sound, assemble
from pipeline.media.container import opened
from pipeline.media.ffmpeg import FfmpegPicture, FfmpegSound
from pipeline.media.image import (
    COMMON_FORMATS,
    Animation,
    UnknownToPillowError,
    decode_still,
    is_animated,
    open_picture,
    picture_info,
    upright,
)
from pipeline.media.nvdec import CODECS, NvdecUse
from pipeline.media.probe import PictureTrack, Probe, probe
from pipeline.media.pyav_picture import PyavPicture, first_picture
from pipeline.media.pyav_sound import PyavSound
from pipeline.media.sniff import Kind, sniff
from pipeline.media.square import array_to_square
from pipeline.media.window import DecodeEnd, Window
from pipeline.records import MediaInfo, MediaType, Segment, Status
from pipeline.settings_embedding import DecodeSettings

__all__ = ["DecodeEnd", "Window", "decode"]

Item = MediaInfo | Window | DecodeEnd


def decode(
    path: Path,
    settings: DecodeSettings,
    fetched: ByteRanges | None = None,
    nvdec: NvdecUse | None = None,
) -> Iterator[Item]:
    """One MediaInfo, then the windows in order, then exactly one DecodeEnd. A video's frames may
    be decoded by the device, where `nvdec` says so of its codec.

    `fetched` is what is there of the file, where that is not all (pipeline/media/needed_bytes.py).
    Raises MediaRejected with a code of docs/media.md, OSError where the file cannot be read, and
    NotFetchedError where more of it has to be there; the windows until then are right.
    """
    began = _cpu_seconds()
    items = _decode_stream(path, settings, fetched, nvdec)
    if sniff(path) is Kind.PICTURE:
        if fetched is not None:
            raise NotFetchedError
        items = _decode_picture(path, settings)
    for item in items:
        if isinstance(item, DecodeEnd):
            item = dataclasses.replace(item, cpu_seconds=_cpu_seconds() - began)
        yield item


def read_common_still(
    file: BinaryIO, settings: DecodeSettings
) -> tuple[MediaInfo, Image.Image, float]:
    """Of an open file that holds a still picture of a common kind (image.COMMON_FORMATS): what it
    is, the picture in RGB, upright, and the CPU-seconds that it took.

    Raises MediaRejected, also for a picture that moves or is of another kind: `decode` says then
    what is right for it.
    """
    began = _cpu_seconds()
    with open_picture(file, settings, COMMON_FORMATS) as picture:
        if is_animated(picture):
            raise MediaRejected("The picture has several frames.", code="not_a_still")
        info = picture_info(picture)
        rgb = upright(picture)
    return info, rgb, _cpu_seconds() - began


def _decode_picture(path: Path, settings: DecodeSettings) -> Iterator[Item]:
    try:
        picture = open_picture(path, settings)
    except UnknownToPillowError:
        yield from _decode_foreign_picture(path, settings)
        return
    with picture:
        if is_animated(picture):
            yield from _decode_animation(picture, settings)
        else:
            info = picture_info(picture)
            frame = decode_still(picture)
            yield info
            yield from _still(frame)


def _still(frame: NDArray[np.uint8]) -> Iterator[Item]:
    yield Window(Segment(0, 0, 0), frame[None], None)
    yield DecodeEnd(Status.INDEXED, 0)


def _decode_animation(picture: ImageFile.ImageFile, settings: DecodeSettings) -> Iterator[Item]:
    info = picture_info(picture)
    yield info
    yield from assemble(Probe.of_animation(info), Animation(picture, settings), None, settings)


def _decode_foreign_picture(path: Path, settings: DecodeSettings) -> Iterator[Item]:
    """HEIC and the like, of which FFmpeg reads those that are stored in one piece."""
    with opened(path, settings) as container:
        tiles = len(container.streams.video)
    if tiles > 1:
        raise MediaRejected(
            f"The picture is stored in {tiles} tiles, which cannot be put together here.",
            code="undecodable",
            remedy="Convert it to JPEG.",
        )
    probed = probe(path, settings)
    if probed.picture is None:
        raise MediaRejected("The container holds no picture.", code="no_streams")
    image = first_picture(path, probed.picture, settings)
    yield dataclasses.replace(
        probed.info, media_type=MediaType.IMAGE, declared_ms=0, fps=0.0, video_codec=""
    )
    yield from _still(array_to_square(image))


def _decode_stream(
    path: Path, settings: DecodeSettings, fetched: ByteRanges | None, nvdec: NvdecUse | None
) -> Iterator[Item]:
    probed = probe(path, settings)
    yield probed.info
    picture, sound = _readers(path, probed, settings, fetched, nvdec)
    yield from assemble(probed, picture, sound, settings)


def _readers(
    path: Path,
    probed: Probe,
    settings: DecodeSettings,
    fetched: ByteRanges | None,
    nvdec: NvdecUse | None,
) -> tuple[Picture | None, Sound | None]:
    """`auto` is PyAV, and ffmpeg for a stream whose codec PyAV's own FFmpeg does not know. Sound is
    never the device's."""
    picture: Picture | None = None
    sound: Sound | None = None
    if probed.picture is not None:
        if _by_pyav(probed.picture.decodable, settings):
            use = _device_for(probed.picture, nvdec)
            picture = PyavPicture(path, probed.picture, probed.origin_s, settings, fetched, use)
        elif fetched is not None:
            raise NotFetchedError  # the program reads all of it
        else:
            picture = FfmpegPicture(path, probed.picture, probed.origin_s, settings)
    if probed.sound is not None:
        if _by_pyav(probed.sound.decodable, settings):
            sound = PyavSound(path, probed.sound, probed.origin_s, settings, fetched)
        elif fetched is not None:
            raise NotFetchedError
        else:
            sound = FfmpegSound(path, probed.sound, probed.origin_s, settings)
    return picture, sound


def _device_for(track: PictureTrack, nvdec: NvdecUse | None) -> NvdecUse | None:
    """None where the CPU decodes: a person's own file, say, which is offered no device."""
    if nvdec is None:
        return None
    if track.codec in nvdec.codecs:
        return nvdec if nvdec.starts(track.codec) else None
    if not nvdec.fall_back:
        raise MediaRejected(
            f"NVDEC is not used for {track.codec}, only for {', '.join(CODECS)}.",
            code="undecodable",
            remedy="Set decode.decoder to auto.",
        )
    return None


def _by_pyav(decodable: bool, settings: DecodeSettings) -> bool:
    if settings.decoder in ("pyav", "nvdec") and not decodable:
        raise MediaRejected(
            "PyAV has no decoder for one of the object's streams.",
            code="undecodable",
            remedy="Set decode.decoder to auto or ffmpeg.",
        )
    return settings.decoder != "ffmpeg" and decodable


def _cpu_seconds() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + of_children.ru_utime + of_children.ru_stime
