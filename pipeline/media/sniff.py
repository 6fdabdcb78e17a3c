"""Tells a file's kind by its first bytes; its name says nothing.

Text is never media: playlists, cue sheets, SVG and subtitles would make a decoder open other files
or render a page, whatever they are called.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pipeline.errors import MediaRejected

HEAD_BYTES = 4096


class Kind(StrEnum):
    """Which of the two ways of decoding a file takes."""

    PICTURE = "picture"
    STREAM = "stream"


_PICTURE_MAGIC = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",  # TIFF
    b"MM\x00*",
    b"II+\x00",  # BigTIFF
    b"MM\x00+",
    b"BM",
)
_PICTURE_BRANDS = {b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"}
_OTHER_MAGIC = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "a ZIP archive",
    b"PK\x07\x08": "a ZIP archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"(\xb5/\xfd": "a Zstandard archive",
    b"\x04\x22M\x18": "an LZ4 archive",
    b"MSCF": "a cabinet archive",
    b"MZ": "a program",
    b"\xca\xfe\xba\xbe": "a program",
    b"\xcf\xfa\xed\xfe": "a program",
    b"\x00asm": "a program",
    b"dex\n": "a program",
    b"FWS": "a Flash film, which is a program",
    b"CWS": "a Flash film, which is a program",
    b"ZWS": "a Flash film, which is a program",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Office document",
    b"\x00\x05\x16\x07": "a Macintosh file's description",
    b"\x00\x00\x00\x01Bud1": "a Macintosh folder's description",
    b"\x93NUMPY": "an array",
    b"\x89HDF": "an HDF5 file",
    b"OTTO": "a font",
    b"wOF": "a font",
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "a program",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"SQLite format 3": "a database",
    b"PAR1": "a Parquet file",
}


def sniff(path: Path) -> Kind:
    """Picture, or a stream of picture and sound (which FFmpeg is left to tell apart).

    Raises MediaRejected `empty_object` or `not_media`, OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise MediaRejected(
            "The object holds zero bytes.", code="empty_object", remedy="Upload it again."
        )
    if head.startswith(_PICTURE_MAGIC) and not _is_bmp_by_chance(head):
        return Kind.PICTURE
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind.PICTURE
    if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
        return Kind.PICTURE
    for magic, name in _OTHER_MAGIC.items():
        if head.startswith(magic):
            raise _not_media(name)
    if head[257:262] == b"ustar":  # FFmpeg finds the sound or the picture that lies in it
        raise _not_media("a tar archive")
    if _is_text(head):
        raise _not_media(_text_kind(head))
    return Kind.STREAM


def _not_media(name: str) -> MediaRejected:
    return MediaRejected(
        f"The object is {name}, whatever its name says.",
        code="not_media",
        remedy="Remove it, or leave its suffix or prefix out.",
    )


def _is_bmp_by_chance(head: bytes) -> bool:
    # "BM" is two letters of many texts; a bitmap goes on with a header length of 12 to 124.
    return head.startswith(b"BM") and (len(head) < 18 or not 12 <= head[14] <= 124)


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and b"\x00" in head[:16]:
        return True  # UTF-16 with its mark; an MPEG audio frame has no zero byte so early
    if b"\x00" in head:
        return False
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not merely a character cut by the end of `head`
            return _is_text_of_8_bits(head)
        text = head[: error.start].decode("utf-8")
    odd = sum(1 for char in text if char < " " and char not in "\t\n\r\f\x1b")
    return odd <= len(text) // 100


def _is_text_of_8_bits(head: bytes) -> bool:
    """Latin-1, Shift-JIS and the like: lines, and none of the control characters of which one byte
    in nine of any sound or picture is one."""
    odd = sum(1 for byte in head if byte < 32 and byte not in b"\t\n\r\f\x1b")
    return len(head) >= 64 and b"\n" in head and odd == 0


def _text_kind(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, name in (
        (b"#extm3u", "a playlist"),
        (b"ffconcat", "a concatenation script"),
        (b"webvtt", "a subtitle file"),
        (b"<svg", "an SVG drawing"),
        (b"<!doctype html", "a web page"),
        (b"<html", "a web page"),
        (b"v=0", "a session description"),
    ):
        if start.startswith(mark):
            return name
    return "an SVG drawing" if b"<svg" in start[:1024] else "text"
