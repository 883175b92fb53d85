"""Make servers on 127.0.0.1 reachable from containers on this machine.

A container's 127.0.0.1 is the container itself. The forwarder listens on the same ports of the address of Docker's
bridge, which only this machine and its containers reach.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from infra.container.sam import StepError
from infra.local.names import HOST
from infra.local.signatures import FORWARDED_HOST
from infra.local.splicing import copy

_PIECE = 65_536
_ROUNDS = 10
_HOST = re.compile(rb"^host:[ \t]*([^\r\n]*?)[ \t]*(?=\r$)", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding:[ \t]*chunked", re.IGNORECASE | re.MULTILINE)


def bridge_address() -> str:
    """Return the address of this machine on Docker's bridge. Raises `StepError`."""
    template = "{{(index .IPAM.Config 0).Gateway}}"
    command = ["docker", "network", "inspect", "bridge", "--format", template]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise StepError(f"Docker reports no address for its bridge network: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def forwarded(address: str, ports: Iterable[int]) -> Iterator[None]:
    """Forward connections from each port of `address` to 127.0.0.1 while the block runs.

    Raises:
        StepError: the forwarder cannot listen on a port.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers: list[asyncio.Server] = []
    try:
        for port in sorted(set(ports)):
            try:
                servers.append(asyncio.run_coroutine_threadsafe(_listen(address, port), loop).result())
            except OSError as error:
                raise StepError(
                    f"cannot listen on {address}:{port}, where containers reach the local stack: {error}. "
                    "If Docker runs in a virtual machine, its bridge is not on this machine: give an address of "
                    'this machine that containers reach, ARGS="--address 192.168.1.7"'
                ) from None
        yield
    finally:
        asyncio.run_coroutine_threadsafe(_end(servers), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(servers: Iterable[asyncio.Server]) -> None:
    """Stop listening and close all connections."""
    for server in servers:
        server.close()
    # A connection that was accepted just now becomes a task some rounds of the loop later.
    for _ in range(_ROUNDS):
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def _listen(address: str, port: int) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(HOST, port)
        except OSError:  # the part restarts: act as a closed port
            writer.close()
            return
        try:
            await asyncio.gather(_requests(reader, there_writer, address, port), copy(there_reader, writer))
        finally:
            for one in (writer, there_writer):
                one.close()

    return await asyncio.start_server(connected, address, port)


async def _requests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, port: int) -> None:
    """Pass on requests for this address under the host name that the stack accepts, until the client ends."""
    with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            hosts = _HOST.findall(head)
            if hosts != [f"{address}:{port}".encode()]:  # a web page that rebinds its name sends that name
                break
            named = b"Host: %b:%d\r\n%b: %b" % (HOST.encode(), port, FORWARDED_HOST.encode(), hosts[0])
            writer.write(_HOST.sub(named, head))
            if _CHUNKED.search(head):
                await copy(reader, writer)
                return
            left = int(length[1]) if (length := _LENGTH.search(head)) else 0
            while left:
                piece = await reader.read(min(left, _PIECE))
                if not piece:
                    break
                writer.write(piece)
                await writer.drain()
                left -= len(piece)
    with suppress(OSError):
        writer.write_eof()  # keep the other direction open for the answer
