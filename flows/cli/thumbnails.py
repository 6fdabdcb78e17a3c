"""Small pictures of moments in a terminal that can show them: by kitty's protocol, iTerm2's, or
sixel. In a pipe, in a multiplexer and in any other terminal there are none.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import SensedexError
from pipeline.local_files import scratch_folder
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import Window
from pipeline.payload import indexed_object
from pipeline.search.moments import Moment
from pipeline.settings import Settings
from pipeline.source.source import open_source

ROWS = 4  # of text that a thumbnail is high
SIDE = 80  # pixels of one in sixel
CHUNK = 4096
COLOURS = 64
# An object is fetched and decoded from its beginning: what is larger or later is not worth it.
LARGEST_BYTES = 100_000_000
LATEST_MS = 120_000


class Way(StrEnum):
    """How a terminal is given a picture."""

    KITTY = "kitty"
    ITERM = "iterm"
    SIXEL = "sixel"


def way_of(
    environment: Mapping[str, str] = os.environ, *, terminal: bool | None = None
) -> Way | None:
    """By what the terminal says of itself; nothing is asked of it. None where it shows none."""
    is_terminal = sys.stdout.isatty() if terminal is None else terminal
    if not is_terminal or environment.get("TMUX") or environment.get("STY"):
        return None
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "kitty" in term or environment.get("KITTY_WINDOW_ID") or program == "ghostty":
        return Way.KITTY
    if program in ("iTerm.app", "WezTerm"):
        return Way.ITERM
    if "sixel" in term or term.split("-")[0] in ("foot", "mlterm", "contour"):
        return Way.SIXEL
    return None


def drawn(picture: Image.Image, way: Way) -> str:
    """The control sequences that show it."""
    match way:
        case Way.KITTY:
            return "".join(_kitty(_png(picture)))
        case Way.ITERM:
            data = _png(picture)
            told = base64.b64encode(data).decode()
            return f"\x1b]1337;File=inline=1;height={ROWS};size={len(data)}:{told}\x07"
    return _sixel(picture)


def picture_of(settings: Settings, moment: Moment) -> Image.Image | None:
    """The frame in the middle of the moment's best window; None where there is none, or it would
    take too long to come by, or the object is no longer what was indexed."""
    payload = moment.payload
    if not payload["has_vision"] or payload["size_bytes"] > LARGEST_BYTES:
        return None
    if payload["start_ms"] > LATEST_MS:
        return None
    try:
        with scratch_folder() as folder:
            return _frame(settings, moment, folder / "object")
    except SensedexError:  # a decoration: the moment's own line says what is wrong with it
        return None


def _frame(settings: Settings, moment: Moment, path: Path) -> Image.Image | None:
    open_source(settings.source).fetch(indexed_object(moment.payload), path)
    for item in decode_in_child(path, settings.decode):
        if isinstance(item, Window) and item.segment.index == moment.payload["segment_index"]:
            frames = item.frames
            return None if frames is None else Image.fromarray(frames[len(frames) // 2])
    return None


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _kitty(png: bytes) -> Iterator[str]:
    told = base64.b64encode(png).decode()
    chunks = [told[start : start + CHUNK] for start in range(0, len(told), CHUNK)]
    for number, chunk in enumerate(chunks):
        head = f"a=T,f=100,r={ROWS}," if number == 0 else ""
        more = int(number < len(chunks) - 1)
        yield f"\x1b_G{head}m={more};{chunk}\x1b\\"


def _sixel(picture: Image.Image) -> str:
    """Bands of six rows, in each of which every colour is drawn over the whole width."""
    small = picture.convert("RGB").resize((SIDE, SIDE)).quantize(COLOURS)
    palette = np.array(small.getpalette() or [], np.int64).reshape(-1, 3)[:COLOURS]
    pixels = np.asarray(small)
    parts = [f'\x1bPq"1;1;{SIDE};{SIDE}']
    parts += [f"#{n};2;{r};{g};{b}" for n, (r, g, b) in enumerate((palette * 100 // 255).tolist())]
    for top in range(0, SIDE, 6):
        band = pixels[top : top + 6]
        weights = (1 << np.arange(len(band)))[:, None]
        for colour in np.unique(band).tolist():
            bits = ((band == colour) * weights).sum(0)
            parts.append(f"#{colour}{''.join(chr(63 + b) for b in bits.tolist())}$")
        parts.append("-")
    return "".join([*parts, "\x1b\\"])
