"""The program of the fork server: import the readers' libraries once, then fork a process for each document.

`process.py` runs this file by its path, as it runs `child.py`: in a fresh interpreter with an almost empty
environment. Arguments: a socket, the program of the child, the module of its readers, and the import path as JSON.
Each message on the socket is a child's settings, with two files: its standard input and output. The process ends
with the socket. It starts no thread, opens no document and reads no answer of a child.

This process forks a short-lived process, which forks the child. The child is then an orphan, and the kernel makes
`process.py` its parent. The child writes its process id before its first answer, so that `process.py` knows the id
even if this process dies.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import CodeType

# More than the kernel sends in one message (net.core.wmem_default is 212,992), so that none is cut.
MESSAGE_BYTES = 1 << 18
# The length of a child's process id. Its first answer may follow before the id is read.
PID_BYTES = 16


def main() -> None:
    """Serve until the socket is closed."""
    control, program = socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2])
    sys.path[:] = json.loads(sys.argv[4])
    # A child inherits an ignored SIGCHLD from its worker; then no process can be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    from docwell.adapters.documents import child, sandbox

    sandbox.leave_network()
    child.load(sys.argv[3])
    code = compile(program.read_bytes(), program, "exec")
    # Collecting these objects would copy their memory into each child.
    gc.freeze()
    while True:
        message, files, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 2)
        if not message:
            return
        fork(code, [str(program), message.decode()], files)
        for descriptor in files:
            os.close(descriptor)


def fork(code: CodeType, arguments: list[str], files: list[int]) -> None:
    """Fork a child that runs the code; return without one if the system refuses a new process."""
    if (between := os.fork()) == 0:
        try:
            parent = os.getpid()
            if os.fork() == 0:
                run(code, arguments, files, parent)
        finally:
            os._exit(0)
    os.waitpid(between, 0)


def run(code: CodeType, arguments: list[str], files: list[int], parent: int) -> None:
    """Wait for the end of the parent, then run the child's program with its standard streams and no other file."""
    try:
        while os.getppid() == parent:
            time.sleep(0.0002)
        os.setpgid(0, 0)
        os.write(files[1], f"{os.getpid():0{PID_BYTES}}".encode())
        os.dup2(files[0], 0)
        os.dup2(files[1], 1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        sys.argv, sys.stdin = arguments, os.fdopen(0)
        exec(code, {"__name__": "__main__", "__file__": arguments[0]})  # noqa: S102 - the child's own program
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
