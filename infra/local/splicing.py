"""Pass bytes between two connections in both directions."""

from __future__ import annotations

import asyncio
from contextlib import suppress

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_PIECE = 65_536


async def splice(one: Connection, other: Connection) -> None:
    """Pass bytes both ways until both sides end. Closes both connections."""
    try:
        await asyncio.gather(copy(one[0], other[1]), copy(other[0], one[1]))
    finally:
        one[1].close()
        other[1].close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on bytes until the reader ends, then end the writer."""
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()  # keep the other direction open for the answer
