"""No bomb costs more than 512 MB and 30 seconds of CPU time, and none leaves a child behind."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from pipeline.errors import MediaRejected
from pipeline.media.sandbox.client import ChildExit, decode_in_child
from pipeline.media.sandbox.limits import cpu_seconds_for
from pipeline.media.window import DecodeEnd
from pipeline.settings_embedding import DecodeSettings
from tests.pipeline.media.bombs import BOMBS
from tests.pipeline.media.clips import write_numbered
from tests.pipeline.media.odd_media import SOUNDS, VIDEOS
from tests.support.ffmpeg_program import run_ffmpeg

pytestmark = pytest.mark.slow("bombs, and films of hours: half a minute in all")

MB = 1 << 20
HURRIED = {
    name: {"cpu_grace_s": 1.0, "cpu_s_per_mb": 0.1}
    for name in (
        "animation.png", "animation.gif", "animation.webp", "slow-animation.webp", "slow-film.mkv",
    )
}  # fmt: skip
"""These are ended by the clock, here by a faster one; what the usual one gives is a sum, below."""


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
    settings = DecodeSettings(**HURRIED.get(name, {}))
    said, child = cost(tmp_path / name, settings)
    assert said in ends
    assert child.peak_rss_bytes <= 512 * MB
    # Not by a clock on the wall: how long a CPU takes to come round is no matter of the bomb's.
    assert child.cpu_seconds <= 30
    size_bytes = (tmp_path / name).stat().st_size
    if said == "too_much_time":
        assert most_cpu_s(size_bytes, DecodeSettings()) <= 30
        assert child.cpu_seconds <= most_cpu_s(size_bytes, settings) + 1
    assert not living_children()


def living_children() -> list[psutil.Process]:
    """Of the fork server; the kernel takes its time to end one."""
    end = time.monotonic() + 60
    while True:
        servers = [
            p for p in psutil.Process().children()
            if "pipeline.media.sandbox.server" in " ".join(p.cmdline())
        ]  # fmt: skip
        found = [c for p in servers for c in p.children() if c.status() != psutil.STATUS_ZOMBIE]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.1)


def most_cpu_s(size_bytes: int, settings: DecodeSettings) -> int:
    """Whatever it claims to be."""
    return cpu_seconds_for(size_bytes, 1 << 60, settings)


def test_time_is_in_proportion() -> None:
    settings = DecodeSettings()
    assert cpu_seconds_for(2 * MB, 0, settings) <= 30  # nothing comes out
    assert most_cpu_s(6 * MB // 10, settings) <= 30
    assert 3600 >= cpu_seconds_for(200 * MB, 36_000_000, settings) >= 1800  # ten hours
    assert most_cpu_s(1 << 40, settings) == settings.max_cpu_s


@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
def test_time_grows_with_what_comes_out(tmp_path: Path, decoder: str) -> None:
    """A film that takes longer than the grace is decoded to its end, by one program or by two."""
    write_numbered(tmp_path / "one.mp4", [n / 5 for n in range(50)], size=(320, 240))
    run_ffmpeg("-stream_loop", "79", "-i", tmp_path / "one.mp4", "-c", "copy", tmp_path / "a.mkv")
    how = {"decoder": decoder, "cpu_grace_s": 1.0, "window_ms": 500}
    # Measured first, since no two machines are alike. Then less than that is given at once, and
    # enough only as windows come out.
    said, usual = cost(tmp_path / "a.mkv", DecodeSettings(**how, cpu_s_per_mb=100.0))  # type: ignore[arg-type]
    assert said == "indexed"
    size_mb = (tmp_path / "a.mkv").stat().st_size / MB
    part = {"cpu_s_per_mb": max(1.0, usual.cpu_seconds / 2.5) / size_mb}
    fair = DecodeSettings(**how, **part, cpu_s_per_media_s=10.0)  # type: ignore[arg-type]
    assert cost(tmp_path / "a.mkv", fair)[0] == "indexed"
    unfair = DecodeSettings(**how, cpu_s_per_mb=0.0, cpu_s_per_media_s=0.0)  # type: ignore[arg-type]
    assert cost(tmp_path / "a.mkv", unfair)[0] == "too_much_time"


def test_ten_hours(tmp_path: Path) -> None:
    """Eighteen thousand windows and more, by what memory a minute takes: ffmpeg counts the last
    frame of each round as none, or as the six seconds that it is on screen."""
    write_numbered(tmp_path / "one.mp4", [6 * n for n in range(10)])
    run_ffmpeg("-stream_loop", "669", "-i", tmp_path / "one.mp4", "-c", "copy", tmp_path / "a.mkv")
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
