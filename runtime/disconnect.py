"""Notice in an ASGI application that the client has closed its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CancelScope, create_task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import Receive


async def until_gone(receive: Receive) -> None:
    """Return when the client has closed the connection. Read the request's body first."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def run_until_gone(receive: Receive, work: Awaitable[None]) -> None:
    """Do the work; cancel it when the client closes the connection."""
    async with create_task_group() as tasks:
        tasks.start_soon(_cancel_when_gone, receive, tasks.cancel_scope)
        await work
        tasks.cancel_scope.cancel()


async def _cancel_when_gone(receive: Receive, scope: CancelScope) -> None:
    await until_gone(receive)
    scope.cancel()
