"""A full disk under the state, the index or the scratch folder of a run, that then has room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.accidents import judged
from tests.chaos.kills import Attempt
from tests.chaos.scene import Scene

# What is left free on each: less than the run needs.
ROOM_BYTES = {"state": 40_960, "qdrant": 40_960, "scratch": 4_096}


def full_disk(scene: Scene, which: str, seed: int) -> Attempt:
    """The run names the disk and ends (a full scratch folder costs objects, each by its name); with
    room again the next one makes everything right. Needs the right to mount, see `may_mount`."""
    place = scene.begin()
    folder = place.folder / which
    folder.mkdir(exist_ok=True)
    with small_disk(folder, ROOM_BYTES[which]) as give_room:
        scratch = str(folder) if which == "scratch" else ""
        tight = place.run(scratch=scratch)
        told = tight.said
        if which == "scratch":
            # An object that is too large for it, or a shard's embeddings.
            fine = "no_room" in place.failures() or "There is no room left in" in told
        else:
            fine = tight.status == 1 and "Look at the disk" in told
        give_room()
        seen = [place.live()]
        last = place.run(scratch=scratch)
        fine = fine and last.status == 0
        note = f"{tight.said[-300:]} {last.said[-200:]}"
        return judged(scene, place, f"full disk: {which}", seed, fine, seen, note)


def may_mount() -> bool:
    """Mounting a disk of a given size is root's alone."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def small_disk(folder: Path, room_bytes: int) -> Iterator[Callable[[], None]]:
    """The folder with what is in it on a disk of its own with that much room; gives a function that
    makes the disk large."""
    beside = folder.with_name(f"{folder.name}.beside")
    shutil.copytree(folder, beside)
    _mount(folder, "-t", "tmpfs", "-o", "size=1G", "tmpfs")
    try:
        shutil.copytree(beside, folder, dirs_exist_ok=True)
        found = os.statvfs(folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        _mount(folder, "-o", f"remount,size={used + room_bytes}")
        yield lambda: _mount(folder, "-o", "remount,size=1G")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(beside)


def _mount(folder: Path, *words: str) -> None:
    subprocess.run(["mount", *words, str(folder)], check=True)
