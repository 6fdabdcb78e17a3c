"""Keeps memory that an encoder gave back for what it asks for next."""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Their numbers in glibc's malloc.h."""

LARGEST_KEPT_BYTES = 32 * 2**20
"""glibc takes no more for M_MMAP_THRESHOLD."""

MOST_KEPT_BYTES = 2**30


def keep_freed_memory() -> None:
    """For this process, before it imports torch.

    A small encoder's forward on a CPU asks for a few megabytes hundreds of times a second. glibc
    gives such blocks back at once and is given them anew, page by page: a quarter of the time
    (docs/performance.md). So what is free is kept, and torch asks for large pages where the system
    has them to give. Another C library is left as it is.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, MOST_KEPT_BYTES)
