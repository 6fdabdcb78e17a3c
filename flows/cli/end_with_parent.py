"""Become another program that the kernel ends when the thread that started it ends.

Run as a script, `python -I -S end_with_parent.py PARENT PROGRAM ARGUMENT...`: what it asks of the
kernel outlives the exec, and nothing runs between fork and exec in a parent that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def become(parent: int, command: list[str]) -> None:
    """Replace this process by `command`, which gets SIGTERM when `parent` is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it went before it could be asked for
        sys.exit(0)
    os.execv(command[0], command)


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
