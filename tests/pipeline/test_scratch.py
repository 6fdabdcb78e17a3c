"""A scratch disk that is full is named, and costs nothing but time."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pipeline.errors import ScratchFull
from pipeline.local_files import scratch_folder


def test_the_folder_goes_with_the_context() -> None:
    with scratch_folder() as folder:
        (folder / "object").write_bytes(b"x")
    assert not folder.exists()


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
