"""Responses that are sent while their body is being made.

Only docwell's own runtime can send them: `docwell.http.streaming_runtime`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from docwell.deadline import event_loop
from docwell.http import sse

# Only a write shows that a client has left, so write at least this often.
SILENCE_S = 1.0
# https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
_DELIMITER = bytes(8)


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """An HTTP response whose body is still being made. Its receiver must close it, even if it does not read all.

    `afterwards` is work that the client does not wait for: it runs once the body is sent or abandoned.
    """

    status: int
    headers: Mapping[str, str]
    body: Generator[bytes]
    afterwards: Callable[[], None] = lambda: None

    @classmethod
    def of_text(
        cls, status: int, headers: Mapping[str, str], text: str, afterwards: Callable[[], None] = lambda: None
    ) -> StreamedResponse:
        """Return a response whose body is made already."""
        return cls(status, headers, (piece for piece in (text.encode(),)), afterwards)

    def close(self) -> None:
        """End the body, then run `afterwards`."""
        try:
            self.body.close()
        finally:
            self.afterwards()

    def prelude(self) -> bytes:
        """Return status and headers as API Gateway expects them before the body."""
        return json.dumps({"statusCode": self.status, "headers": dict(self.headers)}).encode() + _DELIMITER


def stream_events(
    events: AsyncGenerator[bytes], failed: Callable[[Exception], Mapping[str, Any]], silence_s: float = SILENCE_S
) -> Generator[bytes]:
    """Run `events` on this thread's event loop: wait for the first event, then yield each when it comes.

    An error before the first event is raised here, while the response can still have another status; a later one
    becomes an `error` event with the data that `failed` returns. After `silence_s` seconds without an event comes
    a comment. Closing the generator cancels the work.
    """
    pieces = _drive(events, failed, silence_s)
    # Run up to the first event: closing a generator that never started does not run its clean-up.
    next(pieces)
    return pieces


def _drive(
    events: AsyncGenerator[bytes], failed: Callable[[Exception], Mapping[str, Any]], silence_s: float
) -> Generator[bytes]:
    loop = event_loop()
    step = asyncio.ensure_future(anext(events, None), loop=loop)
    try:
        piece = loop.run_until_complete(step)
        yield b""
        while piece is not None:
            yield piece
            step = asyncio.ensure_future(anext(events, None), loop=loop)
            while not loop.run_until_complete(asyncio.wait([step], timeout=silence_s))[0]:
                yield sse.WAITING
            try:
                piece = step.result()
            except Exception as error:  # noqa: BLE001 - the client gets it as an event
                piece = None
                yield sse.event("error", failed(error))
    finally:
        loop.run_until_complete(_end(step, events))


async def _end(step: asyncio.Future[bytes | None], events: AsyncGenerator[bytes]) -> None:
    """Cancel the running step, and close the events: this closes the model's connection."""
    step.cancel()
    await asyncio.wait([step])
    if not step.cancelled():
        step.exception()  # retrieve it, else asyncio logs it
    with suppress(Exception):  # the client has left or has its error: the runtime must go on
        await events.aclose()
