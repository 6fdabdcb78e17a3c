"""Pictures in a terminal: to whom they are shown, and what is sent."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from flows.cli.thumbnails import SIDE, Way, drawn, way_of

PICTURE = Image.fromarray(np.random.default_rng(5).integers(0, 255, (224, 224, 3), np.uint8))


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "xterm-kitty"}, Way.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, Way.ITERM),
        ({"TERM": "foot"}, Way.SIXEL),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, None),
        ({}, None),
    ],
)
def test_a_terminal_says_what_it_shows(environment: dict[str, str], way: Way | None) -> None:
    assert way_of(environment, terminal=True) is way
    assert way_of(environment, terminal=False) is None, "in a pipe"


def test_kitty_is_sent_the_picture_in_pieces() -> None:
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", drawn(PICTURE, Way.KITTY))
    assert all(len(data) <= 4096 for _, data in pieces)
    assert [head.rpartition("m=")[2] for head, _ in pieces] == ["1"] * (len(pieces) - 1) + ["0"]
    sent = base64.b64decode("".join(data for _, data in pieces))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent))), np.asarray(PICTURE))


def test_iterm_is_sent_the_picture() -> None:
    sent = re.fullmatch(r"\x1b\]1337;File=inline=1;height=4;size=(\d+):([^\x07]*)\x07",
                        drawn(PICTURE, Way.ITERM))  # fmt: skip
    assert sent is not None
    data = base64.b64decode(sent[2])
    assert len(data) == int(sent[1])
    assert Image.open(io.BytesIO(data)).size == PICTURE.size


def test_sixels_cover_the_picture() -> None:
    """Read back, each pixel has one colour, near to that of the picture."""
    text = drawn(PICTURE.resize((8, 8)).resize((SIDE, SIDE), Image.Resampling.NEAREST), Way.SIXEL)
    body = re.fullmatch(r'\x1bPq"1;1;80;80(.*)\x1b\\', text, re.S)
    assert body is not None
    colours = {int(n): tuple(map(int, c)) for n, *c in
               re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", body[1])}  # fmt: skip
    bands = re.sub(r"#\d+;2;\d+;\d+;\d+", "", body[1]).split("-")[:-1]
    drawn_once = np.zeros((len(bands) * 6, SIDE), int)
    for number, band in enumerate(bands):
        for colour, row in re.findall(r"#(\d+)([^$]*)\$", band):
            assert int(colour) in colours
            assert len(row) == SIDE
            for x, sixel in enumerate(row):
                for y in range(6):
                    drawn_once[number * 6 + y, x] += (ord(sixel) - 63) >> y & 1
    assert (drawn_once[:SIDE] == 1).all()
