"""No bomb costs more than 512 MB and 30 seconds of CPU time, and none leaves a child behind."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from pipeline.errors import MediaRejected
from pipeline.media.child import ChildExit, decode_in_child
from pipeline.media.limits import cpu_seconds_for
from pipeline.media.window import DecodeEnd
from pipeline.settings import DecodeSettings
from tests.pipeline.media.bombs import BOMBS
from tests.pipeline.media.clips import run_ffmpeg, write_numbered
from tests.pipeline.media.odd_media import SOUNDS, VIDEOS

MB = 1 << 20
TIMED = ("animation.png", "animation.gif", "animation.webp")


def cost(path: Path, settings: DecodeSettings) -> tuple[str, ChildExit]:
    exits: list[ChildExit] = []
    said = ""
    try:
        for item in decode_in_child(path, settings, on_exit=exits.append):
            if isinstance(item, DecodeEnd):
                said = str(item.status)
    except MediaRejected as error:
        said = error.code
    return said, exits[0]


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_what_a_bomb_costs(tmp_path: Path, name: str) -> None:
    make, ends = BOMBS[name]
    make(tmp_path / name)
    # Three are ended by the clock: one waits for it as long as anybody would, two do not.
    hurry = {"cpu_grace_s": 1.0, "cpu_s_per_mb": 0.5} if name in TIMED[:2] else {}
    said, child = cost(tmp_path / name, DecodeSettings(**hurry))  # type: ignore[arg-type]
    assert said in ends
    assert child.peak_rss_bytes <= 512 * MB
    assert child.cpu_seconds <= 30
    for server in psutil.Process().children():
        if "pipeline.media.forkserver" in " ".join(server.cmdline()):
            assert [c for c in server.children() if c.status() != psutil.STATUS_ZOMBIE] == []


def test_time_is_in_proportion() -> None:
    settings = DecodeSettings()
    assert cpu_seconds_for(2 * MB, 0, settings) <= 30
    ten_hours = cpu_seconds_for(0, 36_000_000, settings)
    assert 3600 >= ten_hours >= 1800
    assert cpu_seconds_for(1 << 40, 36_000_000, settings) == settings.max_cpu_s


@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
def test_time_grows_with_what_comes_out(tmp_path: Path, decoder: str) -> None:
    """A film that takes longer than the grace is decoded to its end, by one program or by two."""
    write_numbered(tmp_path / "one.mp4", [n / 5 for n in range(50)], size=(320, 240))
    run_ffmpeg("-stream_loop", "359", "-i", tmp_path / "one.mp4", "-c", "copy", tmp_path / "a.mkv")
    how = {"decoder": decoder, "cpu_grace_s": 1.0, "cpu_s_per_mb": 0.0, "window_ms": 500}
    fair = DecodeSettings(**how, cpu_s_per_media_s=0.5)  # type: ignore[arg-type]
    said, child = cost(tmp_path / "a.mkv", fair)
    assert said == "indexed"
    assert child.cpu_seconds > 1
    unfair = DecodeSettings(**how, cpu_s_per_media_s=0.0)  # type: ignore[arg-type]
    assert cost(tmp_path / "a.mkv", unfair)[0] == "too_much_time"


def test_ten_hours(tmp_path: Path) -> None:
    """Eighteen thousand windows, by what memory a minute takes."""
    write_numbered(tmp_path / "one.mp4", [6 * n for n in range(10)])
    run_ffmpeg("-stream_loop", "609", "-i", tmp_path / "one.mp4", "-c", "copy", tmp_path / "a.mkv")
    exits: list[ChildExit] = []
    windows = 0
    for item in decode_in_child(tmp_path / "a.mkv", DecodeSettings(), on_exit=exits.append):
        windows += not isinstance(item, DecodeEnd)
        end = item
    assert isinstance(end, DecodeEnd)
    assert str(end.status) == "indexed"
    assert end.decoded_ms >= 36_000_000
    assert windows == 1 + -(-end.decoded_ms // 2000)
    assert exits[0].peak_rss_bytes <= 256 * MB


def test_too_many_windows_are_cut(tmp_path: Path) -> None:
    VIDEOS["sound-longer.mkv"].make(tmp_path / "a.mkv")
    items = list(decode_in_child(tmp_path / "a.mkv", DecodeSettings(max_segments=2)))
    assert len(items) == 4
    end = items[-1]
    assert isinstance(end, DecodeEnd)
    assert (str(end.status), end.note) == ("partial", "cut at decode.max_segments, 2 windows")


def test_memory_holds_for_a_program_that_a_child_starts(tmp_path: Path) -> None:
    SOUNDS["192-khz.wav"].make(tmp_path / "a.wav")
    said, child = cost(tmp_path / "a.wav", DecodeSettings(decoder="ffmpeg"))
    assert said == "indexed"
    assert child.peak_rss_bytes <= 512 * MB
