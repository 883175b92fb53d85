"""How an ASGI application learns that its client has gone away."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive


async def until_gone(receive: Receive) -> None:
    """Return when the client has gone away. Call it once the request's body has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
