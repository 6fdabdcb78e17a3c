"""More odd media: what no decoder knows, what is of another kind, what is hurt in rare places.

As in odd_media.py, each with how it must end.
"""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.pipeline.media.made_media import (
    H264,
    PICTURE,
    SOUND,
    by_ffmpeg,
    changed,
    data,
    patched,
    pcm,
    still,
)
from tests.pipeline.media.odd_media import Odd


def of_wav(at: int, value: bytes) -> Callable[[bytes], bytes]:
    """The bytes at that place of a WAV file, changed."""
    return lambda content: content[:at] + value + content[at + len(value) :]


def in_a_tar(path: Path) -> None:
    by_ffmpeg(*SOUND, "-c:a", "libmp3lame")(path.with_suffix(".mp3"))
    with tarfile.open(path, "w") as archive:
        archive.add(path.with_suffix(".mp3"), "a.mp3")


def begins_with(magic: bytes) -> Odd:
    return Odd(data(magic + bytes(range(256)) * 16), "not_media")


def lines(text: str, encoding: str, expected: str = "not_media") -> Odd:
    return Odd(data((text * 40).encode(encoding)), expected)


RARE_SOUNDS = {
    "unknown-codec.wav": Odd(changed(data(pcm(3.0)), of_wav(20, b"\x99\x99")), "undecodable"),
    "no-bits.wav": Odd(changed(data(pcm(3.0)), of_wav(34, bytes(2))), "undecodable"),
    "no-rate.wav": Odd(changed(data(pcm(3.0)), of_wav(24, bytes(4))), "undecodable"),
    "no-channels.wav": Odd(changed(data(pcm(3.0)), of_wav(22, bytes(2))), "no_streams"),
    "65535-channels.wav": Odd(changed(data(pcm(3.0)), of_wav(22, b"\xff\xff")), "no_streams"),
    "no-alignment.wav": Odd(changed(data(pcm(3.0)), of_wav(32, bytes(2))), "indexed", 2),
    "no-length.wav": Odd(changed(data(pcm(3.0)), of_wav(40, bytes(4))), "indexed", 2),
    "less-declared.wav": Odd(
        changed(data(pcm(3.0)), of_wav(40, struct.pack("<I", 32_000))), "indexed", 1
    ),
    "adpcm.wav": Odd(by_ffmpeg(*SOUND, "-c:a", "adpcm_ms"), "indexed", 2),
    "mu-law.wav": Odd(by_ffmpeg(*SOUND, "-c:a", "pcm_mulaw"), "indexed", 2),
    "rf64.wav": Odd(by_ffmpeg(*SOUND, "-rf64", "always"), "indexed", 2),
    "rf64-of-an-eternity.wav": Odd(
        changed(by_ffmpeg(*SOUND, "-rf64", "always"),
                patched(b"ds64", 4, (b"\xff" * 7 + b"\x7f") * 2)),
        "indexed", 2,
    ),
    "wave.w64": Odd(by_ffmpeg(*SOUND), "indexed", 2),
    "no-total.flac": Odd(
        changed(by_ffmpeg(*SOUND, "-c:a", "flac"),
                lambda b: b[:21] + bytes([b[21] & 0xF0]) + bytes(4) + b[26:]),
        "indexed", 2,
    ),
    "eternal-total.flac": Odd(
        changed(by_ffmpeg(*SOUND, "-c:a", "flac"),
                lambda b: b[:21] + bytes([b[21] | 0x0F]) + b"\xff" * 4 + b[26:]),
        "partial", 2,
    ),
    "many-tags.mp3": Odd(
        changed(by_ffmpeg(*SOUND, "-c:a", "libmp3lame"),
                lambda b: b"ID3\x03\0\0\0\0\0\0" * 10_000 + b),
        "indexed", 2,
    ),
    "tag-of-256-mb.mp3": Odd(
        changed(by_ffmpeg(*SOUND, "-c:a", "libmp3lame"),
                lambda b: b"ID3\x03\0\0\x7f\x7f\x7f\x7f" + b),
        "undecodable",
    ),
    "7.1.webm": Odd(
        by_ffmpeg(*SOUND, "-af", "aformat=channel_layouts=7.1", "-c:a", "libopus"), "indexed", 2
    ),
}  # fmt: skip


RARE_VIDEOS = {
    "attachment.mkv": Odd(
        lambda path: (
            path.with_suffix(".ttf").write_bytes(b"\0\1\0\0" + bytes(3000)),
            by_ffmpeg(*PICTURE, *H264, "-attach", str(path.with_suffix(".ttf")), "-metadata:s:t",
                      "mimetype=application/x-truetype-font")(path),
        ),
        "indexed", 2,
    ),
    "timecode.mov": Odd(by_ffmpeg(*PICTURE, *H264, "-timecode", "01:00:00:00"), "indexed", 2),
    "begins-late.mp4": Odd(
        by_ffmpeg(*PICTURE, *SOUND, *H264, "-output_ts_offset", "10"), "indexed", 2
    ),
    "begins-late.mkv": Odd(
        by_ffmpeg(*PICTURE, *SOUND, *H264, "-output_ts_offset", "10"), "indexed", 2
    ),
    "wraps.ts": Odd(
        by_ffmpeg(*PICTURE, *SOUND, *H264, "-output_ts_offset", "95442"), "indexed", 2
    ),
    "1000-a-second.mkv": Odd(
        by_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=1000:d=3", *H264), "indexed", 2
    ),
    "2x16000.mkv": Odd(
        by_ffmpeg("-f", "lavfi", "-i", "color=red:s=2x16000:r=5:d=1", "-c:v", "huffyuv"),
        "indexed",
        1,
    ),
    "16000x2.mkv": Odd(
        by_ffmpeg("-f", "lavfi", "-i", "color=red:s=16000x2:r=5:d=1", "-c:v", "ffv1"), "indexed", 1
    ),
    "alpha.mov": Odd(by_ffmpeg(*PICTURE, "-vf", "format=argb", "-c:v", "qtrle"), "indexed", 2),
    "grey.mkv": Odd(by_ffmpeg(*PICTURE, "-pix_fmt", "gray10le", "-c:v", "ffv1"), "indexed", 2),
    "cut-fragments.mp4": Odd(
        changed(by_ffmpeg(*PICTURE, *SOUND, *H264, "-g", "25", "-movflags",
                          "frag_keyframe+empty_moov+default_base_moof"),
                lambda b: b[: len(b) * 2 // 3]),
        "partial", 2,
    ),
    **{
        f"index-{name}.mp4": Odd(data(b"\0\0\0\x14ftypisom\0\0\0\0isom" + box), expected)
        for name, box, expected in (
            ("of-nothing", b"\0\0\0\x08moov", "no_streams"),
            ("to-the-end", b"\0\0\0\0moov", "no_streams"),
            ("shorter-than-itself", b"\0\0\0\x03moov", "undecodable"),
            ("of-64-bits", b"\0\0\0\x01moov" + b"\xff" * 8, "undecodable"),
            ("of-4-gb", b"\xff\xff\xff\xffmoov", "no_streams"),
        )
    },
    "picture-after.mp4": Odd(
        changed(by_ffmpeg(*PICTURE, *H264), lambda b: b + b"\xff\xd8\xff\xe0" + bytes(500)),
        "indexed", 2,
    ),
}  # fmt: skip


def pages(path: Path, **how: object) -> None:
    from PIL import Image

    frames = [Image.new("RGB", (64, 64), (n * 20, 0, 0)) for n in range(5)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **how)  # type: ignore[arg-type]


def film_behind_a_picture(content: bytes) -> bytes:
    film = io.BytesIO(b"\0\0\0\x14ftypisom\0\0\0\0isom" + bytes(500))
    return content + film.getvalue()


RARE_PICTURES = {
    "65000-high.jpg": Odd(still((1, 65_000)), "indexed", 1),
    "20000-wide.png": Odd(still((20_000, 1)), "indexed", 1),
    "pages.tif": Odd(pages, "indexed", 1),
    "big.tif": Odd(still((300, 200), big_tiff=True), "indexed", 1),
    "cmyk.tif": Odd(still((300, 200), "CMYK"), "indexed", 1),
    "lab.tif": Odd(still((300, 200), "LAB"), "indexed", 1),
    "fax.tif": Odd(still((300, 200), "1", compression="group4"), "indexed", 1),
    "profile-of-junk.png": Odd(still((300, 200), icc_profile=b"junk" * 99), "indexed", 1),
    "profile-of-junk.jpg": Odd(still((300, 200), icc_profile=b"junk" * 99), "indexed", 1),
    "exif-of-junk.jpg": Odd(still((300, 200), exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), "indexed", 1),
    "exif-of-junk.png": Odd(
        still((300, 200), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"), "indexed", 1
    ),
    "without-its-end.jpg": Odd(changed(still((300, 200)), lambda b: b[:-2]), "undecodable"),
    "cut-progressive.jpg": Odd(
        changed(still((300, 200), progressive=True), lambda b: b[: len(b) * 9 // 10]),
        "undecodable",
    ),
    "film-after.jpg": Odd(changed(still((300, 200)), film_behind_a_picture), "indexed", 1),
    "no-delay.gif": Odd(lambda path: pages(path, duration=0), "indexed", 1),
    "wide-gamut.jxl": Odd(data(b"\xff\x0a" + bytes(range(256)) * 4), "undecodable"),
    "plain.ppm": Odd(data(b"P6 16 16 255\n" + bytes(range(256)) * 3), "undecodable"),
}

RARE_OTHERS = {
    "latin-1.mp4": lines("1\r\n00:00:00,000 --> 00:00:09,000\r\ndéjà vu\r\n\r\n", "latin-1"),
    "cyrillic.mp4": lines("1\n00:00:00,000 --> 00:00:09,000\nПривет, как дела\n\n", "cp1251"),
    "japanese.mp4": lines("こんにちは世界\n", "shift-jis"),
    "utf-32.mp4": lines("#EXTM3U\n/etc/passwd\n", "utf-32"),
    "utf-16-without-a-mark.mp4": lines("#EXTM3U\n/etc/passwd\n", "utf-16-le", "undecodable"),
    "zero-within.mp4": Odd(data(b"#EXTM3U\n/etc/passwd\n\0" + b"x" * 99), "undecodable"),
    "sound.tar": Odd(in_a_tar, "not_media"),
    **{
        f"{name}.mp4": begins_with(magic)
        for name, magic in {
            "empty-zip": b"PK\x05\x06", "parted-zip": b"PK\x07\x08PK\x03\x04", "gzip": b"\x1f\x8b",
            "bzip2": b"BZh9", "xz": b"\xfd7zXZ\0", "zstandard": b"(\xb5/\xfd",
            "rar": b"Rar!\x1a\x07\x01\0", "7-zip": b"7z\xbc\xaf\x27\x1c", "lz4": b"\x04\x22M\x18",
            "windows": b"MZ\x90\0", "java": b"\xca\xfe\xba\xbe", "mac": b"\xcf\xfa\xed\xfe",
            "flash": b"CWS\x0a", "office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "apple-double": b"\0\5\x16\7\0\2\0\0", "numpy": b"\x93NUMPY\1\0",
            "hdf5": b"\x89HDF\r\n\x1a\n", "font": b"OTTO",
        }.items()
    },
}  # fmt: skip
