"""Notice in an ASGI application that the client has closed its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyio import CancelScope
    from starlette.types import Receive


async def until_gone(receive: Receive) -> None:
    """Return when the client has closed the connection. Read the request's body first."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancel_when_gone(receive: Receive, scope: CancelScope) -> None:
    """Cancel `scope` when the client closes the connection."""
    await until_gone(receive)
    scope.cancel()
