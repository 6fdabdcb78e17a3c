"""Sets how often Python looks for garbage in a process of ours."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS_BETWEEN_COLLECTIONS = 50_000


def look_for_garbage_seldom() -> None:
    """For this process, before it imports what is large.

    Torch, Ray and Prefect make objects by the hundred thousand as they are imported, and none of
    them is garbage: looked for after every 700th, as Python does, it takes a fifth of an import.
    """
    young, *older = gc.get_threshold()
    if 0 < young < OBJECTS_BETWEEN_COLLECTIONS:  # 0 is never, and somebody's wish
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *older)


@contextmanager
def garbage_seldom_looked_for() -> Iterator[None]:
    """The same until the context ends, in a process that may be somebody else's: an application
    that calls a run, or Prefect's, which has been asked for one."""
    before = gc.get_threshold()
    look_for_garbage_seldom()
    try:
        yield
    finally:
        gc.set_threshold(*before)
