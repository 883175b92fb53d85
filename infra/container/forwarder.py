"""Servers that listen on 127.0.0.1 alone, made reachable for containers of this machine.

A container's 127.0.0.1 is itself. Docker's bridge has an address of this machine that only containers (and this
machine) reach, so a forwarder listens there, on the same ports; nothing of the stack is opened to a network.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from infra.container.sam import StepError
from infra.local.names import HOST

_PIECE = 65_536


def bridge_address() -> str:
    """Where containers reach this machine. Raises `StepError` when Docker does not say."""
    template = "{{(index .IPAM.Config 0).Gateway}}"
    command = ["docker", "network", "inspect", "bridge", "--format", template]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise StepError(f"Docker names no address of its bridge network: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def forwarded(address: str, ports: Iterable[int]) -> Iterator[None]:
    """Pass connections to `address`, on each port, on to 127.0.0.1 while the block runs.

    Raises:
        StepError: a port cannot be listened on there.
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
                    f"cannot listen on {address}:{port}, where containers would reach the local stack: {error}. "
                    "A Docker that runs in a machine of its own does not have its bridge here: give an address of "
                    'this machine that containers reach, ARGS="--address 192.168.1.7"'
                ) from None
        yield
    finally:
        asyncio.run_coroutine_threadsafe(_end(servers), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(servers: Iterable[asyncio.Server]) -> None:
    """Listen no more, and cut what is still open."""
    for server in servers:
        server.close()
    open_ones = asyncio.all_tasks() - {task for task in (asyncio.current_task(),) if task}
    for task in open_ones:
        task.cancel()
    await asyncio.gather(*open_ones, return_exceptions=True)


async def _listen(address: str, port: int) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(HOST, port)
        except OSError:  # the part is being started again: as a closed port would be
            writer.close()
            return
        try:
            await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
        finally:
            for one in (writer, there_writer):
                one.close()

    return await asyncio.start_server(connected, address, port)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()  # the other direction may still have an answer to carry
