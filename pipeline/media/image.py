"""Pictures by Pillow: upright, alpha on white, refused by size before anything is allocated."""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from pipeline.errors import MediaRejected
from pipeline.media.grid import Grid, milliseconds
from pipeline.media.probe import check_pixels
from pipeline.media.square import reduced, to_square
from pipeline.media.window import FRAME_PX
from pipeline.records import MediaInfo, MediaType
from pipeline.settings_embedding import DecodeSettings

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
"""None of these runs another program, as Pillow's EPS does. JPEG takes MPO, of many cameras, in."""

COMMON_FORMATS = ("JPEG", "PNG")
"""What most pictures are. libjpeg-turbo and zlib read them, which fuzzers have tried for years."""

ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
_DEFAULT_FRAME_MS = 100
"""What browsers take for a frame of an animation that says 0 or 10 ms."""

DRAFT_FACTOR = 2
"""A JPEG is decoded at a reduced size that is still at least this many times the one wanted."""

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnknownToPillowError(Exception):
    """Pillow knows no such format; FFmpeg may."""


def load_formats() -> None:
    """Import Pillow's plugins now; otherwise the first picture of a process pays for it."""
    Image.init()


def open_picture(
    file: Path | BinaryIO, settings: DecodeSettings, formats: tuple[str, ...] = FORMATS
) -> ImageFile.ImageFile:
    """Reads the header only.

    Raises MediaRejected `too_many_pixels` or `undecodable`, UnknownToPillowError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            picture = Image.open(file, formats=formats)
        except Image.DecompressionBombError as error:
            raise _too_many() from error
        except UnidentifiedImageError as error:
            raise _unidentified(file) from error
        except (OSError, SyntaxError, ValueError) as error:
            raise _broken(error) from error
    check_pixels(*picture.size, settings)
    return picture


def picture_info(picture: ImageFile.ImageFile) -> MediaInfo:
    """Size as displayed; an animation with more than one frame is a video."""
    animated = is_animated(picture)
    with _pillow_errors():  # the EXIF data of a PNG may follow its pixels
        turned = picture.getexif().get(_EXIF_ORIENTATION, 1)
    width, height = picture.size[:: -1 if turned in (5, 6, 7, 8) else 1]
    return MediaInfo(
        media_type=MediaType.VIDEO if animated else MediaType.IMAGE,
        container=(picture.format or "").lower(),
        declared_ms=0,
        width=width,
        height=height,
        video_codec=(picture.format or "").lower() if animated else "",
        rotation_degrees={3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}.get(turned, 0),
    )


def is_animated(picture: ImageFile.ImageFile) -> bool:
    """Whether the file has more than one frame."""
    if picture.format not in ANIMATED:
        return False
    try:
        return bool(getattr(picture, "is_animated", False))
    except Image.DecompressionBombError as error:
        raise _too_many() from error
    except (OSError, SyntaxError, ValueError):
        return False  # the first frame will say what is wrong


def decode_still(picture: ImageFile.ImageFile) -> NDArray[np.uint8]:
    """(224, 224, 3) uint8. Raises what `upright` raises."""
    with _pillow_errors():
        return to_square(upright(picture))


def upright(picture: ImageFile.ImageFile) -> Image.Image:
    """RGB, as it is looked at; a large one at a reduced size, at least twice the one wanted.

    Raises MediaRejected `undecodable` where any of the picture is missing.
    """
    with _pillow_errors():
        if picture.format in ("JPEG", "MPO"):
            factor = FRAME_PX * DRAFT_FACTOR / min(picture.size)
            if factor < 1:
                wanted = (int(picture.width * factor), int(picture.height * factor))
                picture.draft(picture.mode, wanted)
        picture.load()
        # Reduced before it is turned: a large picture is never held twice.
        small = reduced(picture)
        turn = _UPRIGHT.get(picture.getexif().get(_EXIF_ORIENTATION, 1))
        return small if turn is None else small.transpose(turn)


@contextlib.contextmanager
def _pillow_errors() -> Iterator[None]:
    """Maps Pillow's errors to ours; a broken file raises nearly anything."""
    try:
        yield
    except EOFError as error:
        raise MediaRejected(
            "The picture has a header and no image.", code="empty_stream"
        ) from error
    except MemoryError as error:
        raise MediaRejected(
            "The picture needs more memory than the decoder may have.", code="too_much_memory"
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_many() from error
    except (OSError, SyntaxError, ValueError, IndexError, KeyError, struct.error) as error:
        raise _broken(error) from error


class Animation:
    """An animation of Pillow's at the samples of the grid; see `windows.Picture`."""

    def __init__(self, picture: ImageFile.ImageFile, settings: DecodeSettings) -> None:
        self.start_ms = 0
        self.end_ms: int | None = None
        self.is_single = False
        self.joins = 0
        self.problems: list[str] = []
        self._picture = picture
        self._grid = Grid(settings.window_ms, settings.frames_per_window)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        given, at_s, array, number = 0, Fraction(0), None, 0
        while True:
            try:
                self._picture.seek(number)
                self._picture.load()
                frame = to_square(self._picture)
            except EOFError:
                break
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                self.problems.append(f"frame {number}: {error}")
                break
            due = self._grid.samples_before(at_s)
            while array is not None and given < due:
                yield array
                given += 1
            lasting = float(self._picture.info.get("duration") or 0)
            at_s += Fraction(round(lasting) if lasting > 10 else _DEFAULT_FRAME_MS, 1000)
            array = frame
            number += 1
        if array is None:
            return
        # To count the frames of a GIF would be to decode them.
        announced = number if self._picture.format == "GIF" else self._picture.n_frames  # type: ignore[attr-defined]
        if number < announced:
            self.problems.insert(0, f"{number} of {announced} frames")
        self.end_ms = max(1, milliseconds(at_s))
        for _ in range(given, self._grid.windows_over(self.end_ms) * self._grid.frames_per_window):
            yield array


def _unidentified(file: Path | BinaryIO) -> Exception:
    with file.open("rb") if isinstance(file, Path) else contextlib.nullcontext(file) as opened:
        opened.seek(0)
        head = opened.read(8)
    if head[4:8] == b"ftyp":
        return UnknownToPillowError()
    if head[:3] == b"GIF":  # Pillow looks for the first image in it before it calls it one
        return MediaRejected("The picture has a header and no image.", code="empty_stream")
    return _broken(ValueError("its header makes no sense"))


def _too_many() -> MediaRejected:
    return MediaRejected(
        "The picture claims more pixels than are ever decoded.",
        code="too_many_pixels",
        remedy="Scale it down.",
    )


def _broken(error: Exception) -> MediaRejected:
    return MediaRejected(
        f"The picture is broken: {error}.", code="undecodable", remedy="Upload it again."
    )
