"""Limits of what one object may cost: memory, CPU time, open files; kept by the kernel.

CPU time is given in proportion: some for any object, more for each megabyte of it and for each
second of media that came out. So a film of ten hours is decoded, and a picture of a few kilobytes
that would take an hour is not. What comes out counts for four times the megabytes at most: a few
huge frames that claim to last for hours would buy hours otherwise.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource

from pipeline.settings_embedding import DecodeSettings

_OPEN_FILES = 64
_OPEN_FILES_WITH_DEVICE = 256
_MEDIA_OVER_SIZE = 4
_PAGE_BYTES = resource.getpagesize()


def limit_memory_and_files(settings: DecodeSettings, *, device: bool = False) -> None:
    """Of this process, and of each that it starts: memory, open files, no file and no core written.

    What is resident already counts; address space that was merely reserved before does not. Who
    decodes by a `device` has no limit on memory: CUDA reserves addresses by the hundred gigabytes.
    """
    with open("/proc/self/statm") as statm:
        size, resident = (int(pages) * _PAGE_BYTES for pages in statm.read().split()[:2])
    memory = size + max(0, (settings.max_memory_mb << 20) - resident)
    if not device:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    files = _OPEN_FILES_WITH_DEVICE if device else _OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def cpu_seconds_for(size_bytes: int, media_ms: int, settings: DecodeSettings) -> int:
    """What an object of that size may take, once so much media has come out of it."""
    for_size = settings.cpu_s_per_mb * size_bytes / 2**20
    for_media = settings.cpu_s_per_media_s * media_ms / 1000
    fair = settings.cpu_grace_s + for_size + min(for_media, _MEDIA_OVER_SIZE * for_size)
    return max(1, min(settings.max_cpu_s, int(fair)))


def allow_cpu_for_next(size_bytes: int, settings: DecodeSettings) -> None:
    """Of a process that takes several objects: from now on, what one of that size may take."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used_s = math.ceil(usage.ru_utime + usage.ru_stime)
    hard_s = settings.max_cpu_s + 1
    limit_s = min(hard_s, used_s + cpu_seconds_for(size_bytes, 0, settings))
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, hard_s))


class CpuBudget:
    """Raises the limit on CPU time as media comes out; made before files are taken away."""

    def __init__(self, size_bytes: int, settings: DecodeSettings) -> None:
        self._size_bytes = size_bytes
        self._settings = settings
        self._limit_s = cpu_seconds_for(size_bytes, 0, settings)
        self._hard_s = settings.max_cpu_s + 1
        resource.setrlimit(resource.RLIMIT_CPU, (self._limit_s, self._hard_s))
        # Kept open: where there is a second program (ffmpeg), its limit grows with ours. A kernel
        # that does not list children leaves it with what it began with.
        self._children: int | None = None
        with contextlib.suppress(OSError):
            me = os.getpid()
            self._children = os.open(f"/proc/self/task/{me}/children", os.O_RDONLY | os.O_CLOEXEC)

    def came_out(self, media_ms: int) -> None:
        limit_s = cpu_seconds_for(self._size_bytes, media_ms, self._settings)
        if limit_s <= self._limit_s:
            return
        self._limit_s = limit_s
        limits = (limit_s, self._hard_s)
        resource.setrlimit(resource.RLIMIT_CPU, limits)
        for pid in self._started():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                resource.prlimit(pid, resource.RLIMIT_CPU, limits)

    def _started(self) -> list[int]:
        if self._children is None:
            return []
        return [int(pid) for pid in os.pread(self._children, 4096, 0).split()]
