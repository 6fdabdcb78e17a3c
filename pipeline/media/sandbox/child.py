"""The life of a decoding child: it gives up all that it does not need, decodes, and ends.

Most children take one object. One that shares takes still pictures, one after the other, as open
files: it can open none itself, and has only the one at hand.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from pipeline.media import nvdec
from pipeline.media.decode import decode, read_common_still
from pipeline.media.nvdec import NvdecUse
from pipeline.media.poster import poster
from pipeline.media.sandbox import kernel
from pipeline.media.sandbox.limits import CpuBudget, allow_cpu_for_next, limit_memory_and_files
from pipeline.media.sandbox.picture_area import AreaInChild
from pipeline.media.sandbox.protocol import (
    GIVEN,
    Still,
    receive_ranges,
    send_error,
    send_facts,
    send_item,
    send_poster,
    send_still,
)
from pipeline.media.square import to_square
from pipeline.media.window import Window
from pipeline.settings_embedding import DecodeSettings

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def be_child(
    data: socket.socket, server: int, request: dict[str, Any], has_namespace: bool
) -> NoReturn:
    """All of the life of a process that was forked just now from the process `server`."""
    status = 1
    try:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != server:
            os._exit(1)
        os.setpgid(0, 0)  # an ffmpeg started here is killed with this process
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _close_all_but(data.fileno())
        settings = DecodeSettings.model_validate(request["settings"])
        try:
            if "path" in request:
                _decode_one(data, Path(request["path"]), settings, has_namespace, request)
            else:
                _decode_many(data, settings)
            status = 0
        except BrokenPipeError:
            pass  # nobody listens any more
        except BaseException as error:  # noqa: BLE001 - it is told to the parent, whatever it is
            send_error(data, error)
    finally:
        os._exit(status)


def _decode_one(
    data: socket.socket,
    path: Path,
    settings: DecodeSettings,
    has_namespace: bool,
    request: dict[str, Any],
) -> None:
    budget = CpuBudget(path.stat().st_size, settings)
    use = NvdecUse(**request["nvdec"]) if "nvdec" in request else None
    means = _confine(settings, path, device=use is not None)
    if "try" in request:
        means |= {"namespace": has_namespace}
        send_facts(data, means | _try_to_get_out(**request["try"]))
        return
    if "poster" in request:
        send_poster(data, poster(path, settings, **request["poster"]))
        return
    wire_bytes = request.get("ranges_bytes")
    fetched = None if wire_bytes is None else receive_ranges(data, wire_bytes)
    for item in decode(path, settings, fetched, use):
        if isinstance(item, Window):
            budget.came_out(item.segment.end_ms)
        send_item(data, item)


def _decode_many(data: socket.socket, settings: DecodeSettings) -> None:
    """Until the other side closes its end, or a picture does not end well."""
    _confine(settings)
    area: AreaInChild | None = None
    while True:
        given, handed, _, _ = socket.recv_fds(data, len(GIVEN), 2)
        if not given:
            return
        if area is None:
            area = AreaInChild(handed[1])
        with os.fdopen(handed[0], "rb") as file:
            allow_cpu_for_next(os.fstat(file.fileno()).st_size, settings)
            send_still(data, _still(file, area, settings))


def _still(file: BinaryIO, area: AreaInChild, settings: DecodeSettings) -> Still:
    info, picture, cpu_s = read_common_still(file, settings)
    if area.put(picture):
        return Still(info, cpu_s, *picture.size)
    return Still(info, cpu_s, frame=to_square(picture))


def _confine(settings: DecodeSettings, *readable: Path, device: bool = False) -> dict[str, bool]:
    """Take from this process all but `readable`, what decoders are loaded from and, where it
    decodes by a `device`, what reaches that. Which of the kernel's means took hold."""
    limit_memory_and_files(settings, device=device)
    kernel.no_new_privileges()
    files = [*readable, *_libraries(settings.ffmpeg_path)]
    devices: list[Path] = []
    if device:
        files += nvdec.system_files()
        devices = nvdec.device_files()
    return {
        "landlock": kernel.open_only(files, [Path("/dev/null")], devices),
        "seccomp": kernel.forbid_sockets(),
    }


@functools.cache
def _libraries(ffmpeg_path: Path | None) -> list[Path]:
    """Python, the libraries and ffmpeg, which are loaded when they are needed."""
    package = Path(__file__).resolve().parents[2]
    folders = [sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/bin", "/nix/store"]
    folders += os.environ.get("LD_LIBRARY_PATH", "").split(":")
    paths = [package, package.parent / "encoders", *(Path(f) for f in folders if f)]
    program = ffmpeg_path or shutil.which("ffmpeg")
    if program is not None:
        beside = Path(program).resolve().parent
        paths += [beside, beside.parent / "lib"]
    return [*paths, Path("/etc/ld.so.cache"), Path("/dev/urandom"), Path("/proc/cpuinfo")]


def find_libraries() -> None:
    """Look for them now, once for all children that are forked later."""
    _libraries(None)


def _try_to_get_out(port: int, file: str) -> dict[str, bool]:
    """Whether, in spite of all, an address of this machine or another file can be had."""
    got = {"connects": True, "opens": True}
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        got["connects"] = False
    try:
        open(file, "rb").close()
    except OSError:
        got["opens"] = False
    return got


def _close_all_but(kept: int) -> None:
    for number in [int(name) for name in os.listdir("/proc/self/fd")]:
        if number > 2 and number != kept:
            with contextlib.suppress(OSError):  # the one that listed the folder is closed
                os.close(number)
