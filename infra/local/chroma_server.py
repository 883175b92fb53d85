"""Chroma's server behind a token, because `chroma run` has no authentication.

``python -m infra.local.chroma_server --port 8000 --data DIR --stack ID``, with the token in DOCWELL_CHROMA_TOKEN.

The server listens in a network namespace that only this process enters; where the system allows none, on a random
loopback address, so that no web page finds it. This proxy checks the first request of each connection and then
passes on bytes: only a client with the token has a connection that stays open.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import socket
import struct
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
from starlette.datastructures import Headers

from infra.local.emf import every_minute
from infra.local.names import ERROR, HOST
from infra.local.ports import answers, free_port
from runtime.emf import metric_line, print_line
from runtime.guard import READY_PATH, refused
from runtime.http_server import HEAD_S
from runtime.process import Child, end_with_any_thread

# The most bytes of a request's head.
_HEAD_BYTES = 64 * 1024
_STOP_S = 3.0


class Proxy:
    """Checks connections for the server at `backend`."""

    def __init__(self, backend: tuple[str, int], token: str, stack: str) -> None:
        self._backend = backend
        self._token = token
        self._stack = stack

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            async with asyncio.timeout(HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            answer = await self._answer(head)
            chroma = None if answer else await asyncio.open_connection(*self._backend)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            answer, chroma = b"", None
        if chroma is None:
            writer.write(answer or b"")
            writer.close()
        else:
            chroma_reader, chroma_writer = chroma
            chroma_writer.write(head)
            try:
                await asyncio.gather(_copy(reader, chroma_writer), _copy(chroma_reader, writer))
            finally:
                writer.close()
                chroma_writer.close()

    async def _answer(self, head: bytes) -> bytes | None:
        """Return the proxy's answer; None for a request to pass on to Chroma."""
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in lines if line]
        headers = Headers(
            raw=[(name.lower().encode("latin-1"), value.strip().encode("latin-1")) for name, _, value in pairs]
        )
        path = first.split(" ")[1:2]
        if answer := refused(headers, "".join(path), self._token):
            return _http(f"{answer.status_code} Refused", bytes(answer.body))
        if path == [READY_PATH]:
            ready = await asyncio.to_thread(
                answers, f"http://{self._backend[0]}:{self._backend[1]}/api/v2/heartbeat"
            )
            return _http("200 OK" if ready else "503 Starting", self._stack.encode())
        return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on bytes until the reader ends, then end the writer."""
    with suppress(OSError):
        while data := await reader.read(_HEAD_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()  # keep the other direction open for the answer


def _http(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def hidden_address() -> str:
    """Enter a network namespace, and return a loopback address in it. A second thread would prevent that."""
    if sys.platform != "linux":
        return HOST
    if sys.version_info >= (3, 12):
        # First in a fork: nothing leads back from a namespace whose loopback stays down (Ubuntu's AppArmor).
        attempt = os.fork()
        with suppress(OSError):
            if not attempt or os.waitpid(attempt, 0)[1] == 0:
                os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
                with socket.socket() as inside:  # netdevice(7): SIOCSIFFLAGS with IFF_UP
                    fcntl.ioctl(inside, 0x8914, struct.pack("16sH14x", b"lo", 1))
                return HOST if attempt else os._exit(0)
        if not attempt:
            os._exit(1)
    # Another user can find this address, but a web page cannot.
    return "127." + ".".join(str(1 + secrets.randbelow(254)) for _ in range(3))


def _publish(data: Path) -> None:
    """Print the metrics of the Chroma server's host: percent of memory and disk in use."""
    disk = shutil.disk_usage(data.parent)
    values = {
        "MemoryUsed": psutil.virtual_memory().percent,
        "DiskUsed": 100 * disk.used / (disk.used + disk.free),
    }
    print_line(metric_line("Docwell", {"service": "chroma"}, values))


async def _serve(listener: socket.socket, address: str, data: Path, stack: str) -> None:
    hidden = free_port(host=address)
    beside = Path(sys.executable).with_name("chroma")
    program = str(beside) if beside.exists() else shutil.which("chroma") or "chroma"
    command = [program, "run", "--path", str(data), "--host", address, "--port", str(hidden)]
    proxy = Proxy((address, hidden), os.environ["DOCWELL_CHROMA_TOKEN"], stack)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with await asyncio.start_server(proxy, sock=listener, limit=_HEAD_BYTES):
        child = Child(command, os.environ, print_line, lambda status: os._exit(status or 1))
        every_minute(partial(_publish, data))
        await stopped.wait()
    child.stop(_STOP_S)


def main() -> int:
    """Run until SIGTERM, or until Chroma ends."""
    threading.excepthook = end_with_any_thread
    parser = argparse.ArgumentParser(description="Chroma's server behind a token.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--stack", default="")
    options = parser.parse_args()
    try:
        listener = socket.create_server((HOST, options.port))  # it stays in the namespace of its start
        asyncio.run(_serve(listener, hidden_address(), options.data, options.stack))
    except OSError as error:
        print_line(f"{ERROR}Chroma's proxy cannot listen: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
