"""The limits of the child and its system call filter, which allows it only to compute and to use its open files.

The child calls `close_doors` after it has imported its library and opened its document, and before it parses one
byte. From then on it can open, create or change no file, reach no network, start no process and signal only
itself. Such calls fail with EPERM, so a library that tries (PDFium looks for system fonts) goes on without.

This is a seccomp allowlist (`man 2 seccomp`) for Linux on x86-64 and arm64. Elsewhere, and where the kernel or a
container's policy rejects the filter, only the limits of `confine` apply.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import resource
import struct
import sys

# What Python and the libraries of any reader map at most before they read the document, where /proc does not say.
_BASE_BYTES = 240 * 1024 * 1024
# Enough for the standard streams, the document and the imports.
OPEN_FILES = 64

# asm-generic/unistd.h and arch/x86/entry/syscalls/syscall_64.tbl: the numbers never change.
_CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "newfstatat": (262, 79),
    "getrandom": (318, 278),
    "statx": (332, 291),
}
_TGKILL = (234, 131)
# Column of the numbers above and AUDIT_ARCH_…, by `platform.machine()`.
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# linux/prctl.h, linux/seccomp.h, linux/bpf_common.h
_PR_SET_NO_NEW_PRIVS, _SET_MODE_FILTER, _ALL_THREADS = 38, 1, 1
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_KILL, _ERRNO, _ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
# Offsets in struct seccomp_data; of the first argument the lower half (both machines are little-endian).
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16


def confine(memory_bytes: int, cpu_s: int, *, recognises: bool = False) -> None:
    """Limit this process's memory, time, files and processes, before it opens the document.

    Memory counts from what Python and the libraries use now. A recogniser's libraries map far more than they use,
    so only its writable memory counts; and it starts threads, which are forbidden later.
    """
    # The columns of `man 5 proc_pid_statm`: 0 is all memory, 5 is writable memory.
    memory, column = (resource.RLIMIT_DATA, 5) if recognises else (resource.RLIMIT_AS, 0)
    used_bytes = _BASE_BYTES
    with contextlib.suppress(OSError), open("/proc/self/statm") as file:
        used_bytes = int(file.read().split()[column]) * resource.getpagesize()
    limits = {
        memory: memory_bytes + used_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
    }
    if not recognises:
        limits[resource.RLIMIT_NPROC] = 0
    for kind, value in limits.items():
        # A hard limit may already be lower; macOS rejects some kinds.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))
    with contextlib.suppress(OSError):
        os.nice(5)


def close_doors() -> bool:
    """Install the filter for every thread and return whether the kernel accepted it.

    The filter cannot be removed, and later imports fail.
    """
    program = _program(platform.machine(), os.getpid())
    if sys.platform != "linux" or program is None:
        return False
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a count, then (after padding) the address of the instructions.
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions)))
    libc.syscall.argtypes = [ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p]
    libc.syscall.restype = ctypes.c_long
    number = _SECCOMP[platform.machine()]
    return int(libc.syscall(number, _SET_MODE_FILTER, _ALL_THREADS, ctypes.addressof(header))) == 0


def _program(machine: str, pid: int) -> bytes | None:
    """Return the filter as struct sock_filter[], 8 bytes each; None for an unknown machine."""
    if machine not in _MACHINES or sys.maxsize < 2**32:
        return None
    column, arch = _MACHINES[machine]
    numbers = [call[column] for call in _CALLS.values()]
    steps = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    # The list is followed by five steps; the last one allows the call.
    to_last = len(numbers) + 4
    steps += [(_EQUAL, to_last - at, 0, number) for at, number in enumerate(numbers, 1)]
    # abort() signals its own process: PDFium ends this way when it is out of memory.
    steps += [
        (_EQUAL, 0, 2, _TGKILL[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 1, 0, pid),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)
