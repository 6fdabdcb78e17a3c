"""Sets how often Python looks for garbage in a process of ours."""

from __future__ import annotations

import gc

OBJECTS_BETWEEN_COLLECTIONS = 50_000


def look_for_garbage_seldom() -> None:
    """For this process, before it imports what is large.

    Torch, Ray and Prefect make objects by the hundred thousand as they are imported, and none of
    them is garbage: looked for after every 700th, as Python does, it takes a fifth of an import.
    """
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
