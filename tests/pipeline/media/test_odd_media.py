"""Every odd object ends in the one status that is written down for it, every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import MediaRejected
from pipeline.media.sandbox.client import ChildExit, decode_in_child
from pipeline.media.window import DecodeEnd, Window
from pipeline.settings_embedding import DecodeSettings
from tests.pipeline.media.odd_media import EVERY, SOUNDS, VIDEOS
from tests.pipeline.media.rare_media import (
    RARE_OTHERS,
    RARE_PICTURES,
    RARE_SOUNDS,
    RARE_VIDEOS,
)

pytestmark = pytest.mark.slow("some hundred media, each decoded several times: half a minute")

IN_TIME = SOUNDS | VIDEOS | RARE_SOUNDS | RARE_VIDEOS
ALL = EVERY | IN_TIME | RARE_PICTURES | RARE_OTHERS


def verdict(path: Path, settings: DecodeSettings) -> tuple[str, int]:
    """Status or code, and how many windows came out."""
    exits: list[ChildExit] = []
    windows, said = 0, ""
    try:
        for item in decode_in_child(path, settings, on_exit=exits.append):
            if isinstance(item, Window):
                windows += 1
                # Whole numbers both: what is no number cannot be among them.
                assert item.frames is None or item.frames.dtype == np.uint8
                assert item.sound is None or item.sound.dtype == np.int16
            elif isinstance(item, DecodeEnd):
                said = str(item.status)
    except MediaRejected as error:
        said = error.code if str(path) not in error.message else "names a file of ours"
    assert exits[0].signal_number == 0
    return said, windows


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_verdict_is_the_same_every_time(tmp_path: Path, name: str) -> None:
    odd = ALL[name]
    odd.make(tmp_path / name)
    wanted = (odd.expected, odd.windows)
    assert [verdict(tmp_path / name, DecodeSettings()) for _ in range(3)] == [wanted] * 3


@pytest.mark.parametrize("name", sorted(IN_TIME))
def test_ffmpeg_comes_to_the_same_verdict(tmp_path: Path, name: str) -> None:
    odd = ALL[name]
    odd.make(tmp_path / name)
    wanted = (odd.expected, odd.windows)
    assert verdict(tmp_path / name, DecodeSettings(decoder="ffmpeg")) == wanted
