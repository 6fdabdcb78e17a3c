"""A scratch disk that is full is named, and costs nothing but time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ScratchFull
from pipeline.local_files import remove_abandoned_scratch, scratch_folder


def test_the_folder_goes_with_the_context() -> None:
    with scratch_folder() as folder:
        (folder / "object").write_bytes(b"x")
    assert not folder.exists()


HOLDER = """
import sys, time
from pipeline.local_files import remove_abandoned_scratch, scratch_folder
with scratch_folder() as folder:
    (folder / "object").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_is_removed_and_nothing_else(
    root_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    older = tmp_path / "sensedex-of-an-older-release"
    older.mkdir()
    (tmp_path / "sensedex-link").symlink_to(older)
    holder = [sys.executable, "-c", HOLDER]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with scratch_folder() as mine:
        with subprocess.Popen(
            holder, cwd=root_dir, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            theirs = Path(process.stdout.readline().strip())
            assert (theirs / "object").is_file()
            assert remove_abandoned_scratch() == 0
            assert theirs.is_dir()
            process.kill()
        assert theirs.is_dir()
        assert remove_abandoned_scratch() == 1
        assert not theirs.exists()
        assert mine.is_dir()
        assert remove_abandoned_scratch() == 0
    assert older.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {older.name, "sensedex-link"}


def test_a_full_disk_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ScratchFull, match="TMPDIR") as raised, scratch_folder():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(tmp_path) in raised.value.message
    assert (raised.value.retryable, raised.value.code) == (True, "no_room")
    assert not any(tmp_path.iterdir())


def test_other_errors_of_the_system_are_not_taken_for_it() -> None:
    with pytest.raises(PermissionError), scratch_folder():
        raise PermissionError(errno.EACCES, "Permission denied")
