"""The decoding child: limits, crashes, and that none is ever left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.errors import MediaRejected
from pipeline.media.sandbox.client import ChildExit, decode_in_child
from pipeline.media.sandbox.limits import cpu_seconds_for
from pipeline.media.sandbox.server_process import prepare_children
from pipeline.media.window import DecodeEnd, Window
from pipeline.records import MediaInfo
from pipeline.settings_embedding import DecodeSettings
from tests.pipeline.media.clips import decoded, tone, write_numbered, write_sound
from tests.support.ffmpeg_program import run_ffmpeg


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    return write_numbered(path, [Fraction(n, 25) for n in range(100)], sound=tone(4.0))


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of picture that takes a second to make."""
    folder = tmp_path_factory.mktemp("endless")
    write_numbered(folder / "one.mp4", [Fraction(n, 25) for n in range(250)], size=(320, 240))
    run_ffmpeg("-stream_loop", "359", "-i", folder / "one.mp4", "-c", "copy", folder / "long.mkv")
    return folder / "long.mkv"


def test_the_same_as_in_this_process(clip: Path) -> None:
    here = decoded(clip)
    prepare_children()
    there = list(decode_in_child(clip, DecodeSettings()))
    assert isinstance(there[0], MediaInfo)
    assert there[0] == here.info
    for ours, theirs in zip(here.windows, there[1:-1], strict=True):
        assert isinstance(theirs, Window)
        assert theirs.segment == ours.segment
        assert np.array_equal(theirs.frames, ours.frames)  # type: ignore[arg-type]
        assert np.array_equal(theirs.sound, ours.sound)  # type: ignore[arg-type]
    assert isinstance(there[-1], DecodeEnd)
    assert there[-1].status == here.end.status
    assert there[-1].cpu_seconds > 0


@pytest.mark.slow("decodes a film of an hour until it is stopped: 8 s of these")
def test_a_killed_child_costs_one_object(clip: Path, endless: Path) -> None:
    items = decode_in_child(endless, DecodeSettings())
    next(items)
    for child in _grandchildren():
        child.send_signal(signal.SIGSEGV)
    with pytest.raises(MediaRejected) as caught:
        list(items)
    assert caught.value.code == "decoder_crashed"
    assert "SIGSEGV" in caught.value.message
    assert len(list(decode_in_child(clip, DecodeSettings()))) == 4


@pytest.mark.slow("decodes a film of an hour until it is stopped: 8 s of these")
def test_a_killed_server_is_replaced(clip: Path, endless: Path) -> None:
    items = decode_in_child(endless, DecodeSettings())
    next(items)
    children = _grandchildren()
    for server in _servers():
        server.kill()
    with pytest.raises(MediaRejected) as caught:
        list(items)
    assert caught.value.code == "decoder_crashed"
    assert _wait_for(lambda: not any(_runs(child) for child in children))
    assert len(list(decode_in_child(clip, DecodeSettings()))) == 4


@pytest.mark.slow("decodes a film of an hour until it is stopped: 8 s of these")
def test_closing_early_leaves_no_child(endless: Path) -> None:
    for decoder in ("pyav", "ffmpeg"):
        items = decode_in_child(endless, DecodeSettings(decoder=decoder))  # type: ignore[arg-type]
        next(items)
        next(items)
        descendants = _grandchildren()
        assert len(descendants) >= (1 if decoder == "pyav" else 2)
        items.close()  # type: ignore[attr-defined]
        assert _wait_for(lambda: not any(_runs(child) for child in descendants)), decoder  # noqa: B023


@pytest.mark.slow("decodes a film of an hour until it is stopped: 8 s of these")
@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
def test_killing_the_parent_leaves_no_child(endless: Path, decoder: str, root_dir: Path) -> None:
    script = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from pipeline.media.sandbox.client import decode_in_child
        from pipeline.settings_embedding import DecodeSettings
        items = decode_in_child(Path({str(endless)!r}), DecodeSettings(decoder={decoder!r}))
        next(items)
        next(items)
        print("ready", flush=True)
        time.sleep(100)
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root_dir, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    descendants = psutil.Process(parent.pid).children(recursive=True)
    assert len(descendants) >= (2 if decoder == "pyav" else 3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert _wait_for(lambda: not any(_runs(p) for p in descendants))


@pytest.mark.slow("decodes a film of an hour until it is stopped: 8 s of these")
def test_limits(endless: Path) -> None:
    assert _code(endless, max_cpu_s=1, window_ms=100, frames_per_window=2) == "too_much_time"


@pytest.mark.slow("decodes a film of an hour until it is stopped: 8 s of these")
def test_the_wall_counts_only_our_waiting(endless: Path) -> None:
    items = decode_in_child(endless, DecodeSettings(max_wall_s=1))
    next(items)
    time.sleep(1.2)
    assert isinstance(next(items), Window)
    items.close()  # type: ignore[attr-defined]
    assert _code(endless, max_wall_s=1, window_ms=100) == "too_much_time"


@pytest.mark.slow("fills its memory, 2 s")
def test_memory_limit(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (12_000, 8_000)).save(tmp_path / "large.png")
    settings = {"max_memory_mb": 256}
    assert _code(tmp_path / "large.png", **settings) == "too_much_memory"
    assert len(list(decode_in_child(tmp_path / "large.png", DecodeSettings()))) == 3


@pytest.mark.slow("a long film, 2 s")
def test_memory_does_not_grow_with_the_length(endless: Path, tmp_path: Path) -> None:
    peaks = []
    for seconds in (60, 1200):
        run_ffmpeg("-i", endless, "-t", str(seconds), "-c", "copy", tmp_path / f"{seconds}.mkv")
        peaks.append(_exit(tmp_path / f"{seconds}.mkv").peak_rss_bytes)
    assert peaks[1] <= 1.15 * peaks[0]


def test_from_other_threads_at_once(clip: Path, tmp_path: Path) -> None:
    write_sound(tmp_path / "tone.wav", tone(3.0))
    counts: list[int] = []

    def work(path: Path) -> None:
        counts.append(len(list(decode_in_child(path, DecodeSettings()))))

    paths = [clip, tmp_path / "tone.wav"] * 3
    threads = [threading.Thread(target=work, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counts == [4] * 6


def test_a_child_has_no_secret_and_few_files(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.media.sandbox.server_process import stop_children

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    stop_children()
    items = decode_in_child(clip, DecodeSettings())
    next(items)
    (server,) = _servers()
    assert "AWS_SECRET_ACCESS_KEY" not in server.environ()
    items.close()  # type: ignore[attr-defined]
    stop_children()
    assert not _runs(server)


@pytest.mark.slow("decodes a film of an hour until it is stopped: 8 s of these")
def test_the_kernel_holds_the_limits(endless: Path) -> None:
    """Of a child at its work; in a folder, and with files, of nobody else's."""
    settings = DecodeSettings()
    items = decode_in_child(endless, settings)
    next(items)
    (child,) = _grandchildren()
    lines = Path(f"/proc/{child.pid}/limits").read_text().splitlines()[1:]
    soft = {line[:26].strip(): line[26:].split()[0] for line in lines}
    assert soft["Max open files"] == "64"
    assert soft["Max core file size"] == soft["Max file size"] == "0"
    # What it holds when it is forked does not count: the server's libraries, reserved space.
    assert (
        512 << 20
        <= int(soft["Max address space"])
        <= (512 << 20) + child.parent().memory_info().vms
    )  # type: ignore[union-attr]
    size_bytes = endless.stat().st_size
    least = cpu_seconds_for(size_bytes, 0, settings)
    assert least <= int(soft["Max cpu time"]) <= cpu_seconds_for(size_bytes, 60_000, settings)
    opened = {p.path for p in child.open_files()}
    assert opened <= {str(endless), f"/proc/{child.pid}/task/{child.pid}/children"}
    items.close()  # type: ignore[attr-defined]


def _servers() -> list[psutil.Process]:
    return [
        p
        for p in psutil.Process().children()
        if "pipeline.media.sandbox.server" in " ".join(p.cmdline())
    ]


def _grandchildren() -> list[psutil.Process]:
    return [child for server in _servers() for child in server.children(recursive=True)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def _exit(path: Path) -> ChildExit:
    exits: list[ChildExit] = []
    for _ in decode_in_child(path, DecodeSettings(), on_exit=exits.append):
        pass
    return exits[0]


def _code(path: Path, **options: object) -> str:
    with pytest.raises(MediaRejected) as caught:
        for _ in decode_in_child(path, DecodeSettings(**options)):  # type: ignore[arg-type]
            pass
    return caught.value.code
