"""Answers that are sent while they are made: work in a thread of its own, its events as they come.

A handler returns a `StreamedResponse` only where its runtime can stream; elsewhere it returns `buffered()`.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from docwell.errors import Cancelled
from docwell.http import sse

Emit = Callable[[str, Mapping[str, Any]], None]
# Makes events with its first argument until it is done, or until its second is set.
Work = Callable[[Emit, threading.Event], None]

# The variable by which a runtime says that it takes a `StreamedResponse`.
CAN_STREAM = "DOCWELL_CAN_STREAM"
# A client that has gone away is seen when something is sent to it, so something is sent at least this often.
SILENCE_S = 1.0
# The language model gives up within half a second, a search within the time-out of its client.
_JOIN_S = 5.0
# https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
_DELIMITER = bytes(8)


def _nothing() -> None:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """An HTTP answer whose body is still being made. Whoever takes it closes it, used up or not.

    `afterwards` is what nobody should wait for: it is called when the body has been sent, or given up.
    """

    status: int
    headers: Mapping[str, str]
    body: Generator[bytes]
    afterwards: Callable[[], None] = _nothing

    def close(self) -> None:
        """End the body, then do what comes afterwards."""
        try:
            self.body.close()
        finally:
            self.afterwards()

    def prelude(self) -> bytes:
        """Status and headers as API Gateway wants them before the body."""
        return json.dumps({"statusCode": self.status, "headers": dict(self.headers)}).encode() + _DELIMITER

    def buffered(self) -> dict[str, Any]:
        """The whole answer as a REST proxy response, for a runtime that cannot stream. The body must be UTF-8."""
        with closing(self):
            text = b"".join(self.body).decode()
        return {
            "statusCode": self.status,
            "headers": dict(self.headers),
            "body": text,
            "isBase64Encoded": False,
        }


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None


def stream_events(
    work: Work, failed: Callable[[Exception], Mapping[str, Any]], silence_s: float = SILENCE_S
) -> Generator[bytes]:
    """Start `work`; wait for its first event; give its events, encoded, as they come.

    What `work` raises before its first event is raised here, while the answer can still have another status;
    what it raises later becomes an `error` event with the data that `failed` makes of it. In a silence of
    `silence_s` seconds a comment is sent. Closing the generator sets the event that `work` was given, and
    `emit` raises `Cancelled` from then on.
    """
    events = _events(work, failed, silence_s)
    # Up to the first event: a generator that was never entered would not notice that it is closed.
    next(events)
    return events


def _events(work: Work, failed: Callable[[Exception], Mapping[str, Any]], silence_s: float) -> Generator[bytes]:
    pieces = queue.SimpleQueue[bytes | _End]()
    cancel = threading.Event()
    # The context has what the log says of this request.
    worker = threading.Thread(target=copy_context().run, args=(_run, work, pieces, cancel), daemon=True)
    worker.start()
    try:
        piece = pieces.get()
        if isinstance(piece, _End) and piece.error is not None:
            raise piece.error
        yield b""
        while not isinstance(piece, _End):
            yield piece
            piece = _next(pieces, silence_s)
        if piece.error is not None:
            yield sse.event("error", failed(piece.error))
    finally:
        cancel.set()
        worker.join(_JOIN_S)


def _next(pieces: queue.SimpleQueue[bytes | _End], silence_s: float) -> bytes | _End:
    try:
        return pieces.get(timeout=silence_s)
    except queue.Empty:
        return sse.comment("waiting")


def _run(work: Work, pieces: queue.SimpleQueue[bytes | _End], cancel: threading.Event) -> None:
    def emit(name: str, data: Mapping[str, Any]) -> None:
        if cancel.is_set():
            raise Cancelled("the client has gone away")
        pieces.put(sse.event(name, data))

    error = None
    try:
        work(emit, cancel)
    except Exception as raised:  # noqa: BLE001 - it is raised, or told to the client, by the generator
        error = raised
    finally:
        pieces.put(_End(error))
