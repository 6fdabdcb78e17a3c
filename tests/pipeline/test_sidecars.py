"""Sidecars: which words belong to which window."""

from __future__ import annotations

import pytest

from pipeline.records import Segment
from pipeline.source.sidecars import parse_sidecar, read_sidecars

SRT = b"""1
00:00:00,000 --> 00:00:02,000
A dog <i>barks</i>.

2
00:00:03,500 --> 00:00:06,000
Waves
break.
"""


def test_cues_go_to_the_windows_they_overlap() -> None:
    sidecars = read_sidecars([("a/dog.srt", SRT)])
    texts = [sidecars.text_of(Segment(i, i * 2000, i * 2000 + 2000)) for i in range(4)]
    assert texts == ["A dog barks.", "Waves break.", "Waves break.", ""]


def test_a_caption_goes_to_every_window_and_to_a_still() -> None:
    sidecars = read_sidecars([("a/dog.txt", b"Ein Hund\n bellt.\n")])
    assert sidecars.text_of(Segment(0, 0, 0)) == "Ein Hund bellt."
    assert sidecars.text_of(Segment(7, 14_000, 16_000)) == "Ein Hund bellt."


def test_webvtt() -> None:
    data = b"WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n"
    assert [(c.text, c.start_ms, c.end_ms) for c in parse_sidecar("x.vtt", data)] == [
        ("hello", 1000, 2000)
    ]


@pytest.mark.parametrize(
    ("key", "data"),
    [("x.txt", b"\xff\xfe\x00"), ("x.srt", b"no cue at all"), ("x.txt", b"a\0b")],
)
def test_a_bad_sidecar_is_named_and_costs_nothing_else(key: str, data: bytes) -> None:
    sidecars = read_sidecars([(key, data), ("y.txt", b"good")])
    assert [c.text for c in sidecars.cues] == ["good"]
    assert [f.code for f in sidecars.failures] == ["bad_sidecar"]
    assert key in sidecars.failures[0].message
