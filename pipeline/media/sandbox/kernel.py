"""Takes the network, the other files and the other processes away from this process, for good.

Three means of the Linux kernel, none of which needs root; each says whether it took hold, since a
container's own rules or an old kernel may not have them:

- a network namespace without any interface (a user namespace with it where this is not root),
- seccomp: no socket can be made, no other process be looked into, no namespace be entered,
- Landlock: of all files only those named can be opened; no address can be called.

What a process starts inherits all three.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)

_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2

# Landlock's calls have the same numbers on every architecture.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION_FLAG = 1
_LANDLOCK_PATH_BENEATH = 1
_FS_EXECUTE, _FS_WRITE_FILE, _FS_READ_FILE, _FS_READ_DIR = 1, 2, 4, 8
_FS_IOCTL_DEVICE = 1 << 15  # since version 5; before, it is not asked for
_FS_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_RIGHTS_SINCE, _NET_RIGHTS = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11  # sockets without a name in the file system, signals

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_SYSCALL_BIT = 0x40000000
_DENIED_SYSCALLS = {
    "x86_64": {
        "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "ptrace": 101,
        "mount": 165, "unshare": 272, "accept4": 288, "setns": 308, "process_vm_readv": 310,
        "process_vm_writev": 311, "bpf": 321, "io_uring_setup": 425, "pidfd_getfd": 438,
    },
    "aarch64": {
        "mount": 40, "unshare": 97, "ptrace": 117, "socket": 198, "bind": 200, "listen": 201,
        "accept": 202, "connect": 203, "accept4": 242, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "bpf": 280, "io_uring_setup": 425, "pidfd_getfd": 438,
    },
}  # fmt: skip


def no_new_privileges() -> None:
    """What is started from here on gains nothing by its set-uid bit; the others stand on this."""
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def leave_network() -> bool:
    """Move to a network of its own that reaches nothing, not even this machine. One thread only."""
    return any(
        _LIBC.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET)
    )


def forbid_sockets() -> bool:
    """Refuse what makes a connection, with EACCES; sockets that are open already go on."""
    machine = platform.machine()
    if machine not in _AUDIT_ARCH:
        return False
    program = _filter(_AUDIT_ARCH[machine], sorted(_DENIED_SYSCALLS[machine].values()))
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    told = Program(len(program) // 8, ctypes.addressof(buffer))
    return bool(_LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(told)) == 0)


def _filter(arch: int, denied: Iterable[int]) -> bytes:
    """A program for the kernel's packet filter: 8 bytes a step, over (number, architecture)."""
    load, equal, above, answer = 0x20, 0x15, 0x35, 0x06
    allow, refuse, kill = 0x7FFF0000, 0x00050000 | errno.EACCES, 0x80000000

    def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, if_true, if_false, value)

    steps = [
        step(load, 4),  # the architecture: the numbers below are those of this one alone
        step(equal, arch, if_true=1),
        step(answer, kill),
        step(load, 0),  # the number of the call
        step(above, _X32_SYSCALL_BIT, if_false=1),
        step(answer, refuse),
    ]
    for number in denied:
        steps += [step(equal, number, if_false=1), step(answer, refuse)]
    return b"".join([*steps, step(answer, allow)])


def open_only(
    readable: Iterable[Path], writable: Iterable[Path] = (), devices: Iterable[Path] = ()
) -> bool:
    """Of all files, only those at or below `readable` can be read and run from here on; `writable`
    can be written as well, and `devices` be spoken to.

    What does not exist is passed over. Files that are open already stay open.
    """
    version = _LIBC.syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION_FLAG)
    if version < 1:
        return False
    rights = (1 << _FS_RIGHTS_BY_VERSION.get(version, 16)) - 1
    handled = struct.pack(
        "=QQQ",
        rights,
        _NET_RIGHTS if version >= _NET_RIGHTS_SINCE else 0,
        _SCOPES if version >= _SCOPES_SINCE else 0,
    )
    size = 8 if version < _NET_RIGHTS_SINCE else 16 if version < _SCOPES_SINCE else 24
    ruleset = _LIBC.syscall(_LANDLOCK_CREATE, handled, size, 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow(ruleset, path, _FS_READ_FILE | _FS_EXECUTE)
        for path in writable:
            _allow(ruleset, path, _FS_READ_FILE | _FS_WRITE_FILE)
        for path in devices:
            _allow(ruleset, path, _FS_READ_FILE | _FS_WRITE_FILE | (_FS_IOCTL_DEVICE & rights))
        return bool(_LIBC.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        # The right to list a folder is none that a file can have.
        more = _FS_READ_DIR if path.is_dir() else 0
        rule = struct.pack("=Qi", rights | more, opened)
        _LIBC.syscall(_LANDLOCK_ADD, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0)
    finally:
        os.close(opened)
