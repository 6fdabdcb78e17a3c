"""Opens one local file as a container: nothing but that file, whatever is written in it."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Discard, Stream

from pipeline.errors import MediaRejected
from pipeline.settings_embedding import DecodeSettings

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,ogg,flv,asf,mxf,gxf,nut,ivf,"
    "h264,hevc,m4v,obu,av1,dv,rm,wav,w64,aiff,au,caf,flac,mp3,aac,ac3,eac3,dts,amr,amrnb,amrwb,"
    "ape,wv,tta,tak,mpc,mpc8,latm,loas,oma,voc"
)
"""Containers that hold their own data. None that names another file or address is here."""

_WAV_UNKNOWN_BYTES = 0x7FFFF000
"""A length at or above this was never filled in: the file was written as it was recorded."""

_WAV_PLAIN_TAGS = {1, 3, 6, 7, 0xFFFE}
"""PCM, floats, A-law, mu-law: here bytes a second are what they say, elsewhere a rough mean."""


_WAV_HEAD_BYTES = 1 << 17
_DTS_SYNC_WORDS = (
    b"\x7f\xfe\x80\x01", b"\xfe\x7f\x01\x80", b"\x1f\xff\xe8\x00", b"\xff\x1f\x00\xe8",
)  # fmt: skip
"""Of DTS in 16 or 14 bits, in either order of bytes (ETSI TS 102 114, annex E)."""


@contextlib.contextmanager
def opened(
    path: Path,
    settings: DecodeSettings,
    *,
    look_at_frames: bool = True,
    accelerator: HWAccel | None = None,
) -> Iterator[InputContainer]:
    """A local file, and nothing but that file: no other protocol, no playlist, no reference.

    FFmpeg decodes some frames to learn what the header does not say; a reader of sound, or of
    packets alone, has no need of that. With an `accelerator` a device decodes what it can. Raises
    MediaRejected for what FFmpeg's libraries make of a bad file.
    """
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": FORMATS,
        "max_pixels": str(settings.max_pixels),
    }
    if _is_plain_wav(path):
        options["max_probe_packets"] = "1"
    stream_options = {"max_pixels": str(settings.max_pixels)}
    if not look_at_frames:
        stream_options["skip_frame"] = "all"
    with foreign_errors():
        container = av.open(
            f"file:{path}", "r", container_options=options, options=stream_options,
            metadata_errors="replace", hwaccel=accelerator,
        )  # fmt: skip
        try:
            yield container
        finally:
            container.close()


@contextlib.contextmanager
def foreign_errors() -> Iterator[None]:
    """Maps PyAV's errors to ours."""
    try:
        yield
    except MemoryError as error:  # av.error.MemoryError is one, too
        raise MediaRejected(
            "The decoder asked for more memory than it may have.",
            code="too_much_memory",
            remedy="Raise decode.max_memory_mb if the object is to be trusted.",
        ) from error
    except av.error.FFmpegError as error:
        raise MediaRejected(
            f"FFmpeg cannot read the object: {error.strerror}.",
            code="undecodable",
            remedy="Play it; if it plays, set decode.decoder to ffmpeg.",
        ) from error


def only(container: InputContainer, stream: Stream) -> None:
    """Let the demuxer pass over every other stream."""
    for other in container.streams:
        other.discard = Discard.default if other.index == stream.index else Discard.all


def declared_ms(path: Path, container: InputContainer, origin_s: Fraction) -> int:
    """How long the container says it is; 0 where it does not say.

    Of a WAV file FFmpeg tells what there is, not what its header says there should be. Matroska
    says when it ends, not how long it is, and may begin late.
    """
    told_us = container.duration
    if told_us is None:
        ends = [s.duration * s.time_base for s in container.streams if s.duration and s.time_base]
        told_us = int(max(ends, default=0) * 1_000_000)
    begins_us = int(origin_s * 1_000_000)
    if container.format.name.startswith("matroska") and 0 < begins_us < told_us:
        told_us -= begins_us
    of_wav = _wav_declared_ms(path) if container.format.name == "wav" else 0
    return max(0, told_us // 1000, of_wav)


def _is_plain_wav(path: Path) -> bool:
    """A WAV file that is what its header says. FFmpeg tries every format it knows on the samples of
    each, 15 ms of CPU, since DTS of CDs is stored as if it were samples; it begins with a mark."""
    with path.open("rb") as file:
        head = file.read(_WAV_HEAD_BYTES)
    is_wav = head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE"
    return is_wav and not any(word in head for word in _DTS_SYNC_WORDS)


def _wav_declared_ms(path: Path) -> int:
    bytes_a_second = 0
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return 0
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name == b"data":
                known = bytes_a_second and length < _WAV_UNKNOWN_BYTES
                return length * 1000 // bytes_a_second if known else 0
            if name == b"fmt ":
                form = file.read(12)
                tag, bytes_a_second = struct.unpack("<H6xI", form.ljust(12, b"\0"))
                if tag not in _WAV_PLAIN_TAGS:
                    return 0
                file.seek(-len(form), 1)
            file.seek(length + length % 2, 1)
    return 0
