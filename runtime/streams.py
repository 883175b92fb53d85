"""A streamed answer of a function."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from runtime.function_errors import FunctionCrashed, FunctionError, FunctionRaised, FunctionTimedOut
from runtime.runtime_api import (
    ClientGone,
    Exited,
    Failure,
    Happening,
    Ready,
    RuntimeApi,
    StreamEnded,
    StreamPiece,
)

# Separates the prelude from the body: API Gateway's protocol.
DELIMITER = bytes(8)
# API Gateway's limit.
MAX_PRELUDE_BYTES = 16 * 1024
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
MAX_STREAM_BYTES = 200 * 1024 * 1024
# How long a function may take to stop after its client has left.
STOP_S = 10.0


class Stream:
    """A streamed answer. Read `metadata`, then the pieces; close it when the client leaves.

    A thread reads the answer until the environment asks for its next invocation, so a slow client holds no
    environment. The thread calls `ending` before the client sees the end of the answer, and `released` at last,
    with whether the environment can be used again.
    """

    def __init__(self, api: RuntimeApi, id_: str, deadline: float, name: str) -> None:
        """`deadline` is on the monotonic clock; `name` is the function's name."""
        self._api = api
        self._id = id_
        self._deadline = deadline
        self._name = name
        self._pieces: queue.SimpleQueue[bytes | FunctionError | None] = queue.SimpleQueue()
        self._rest = b""
        self._closed = False
        self._bytes = 0

    def start(self, released: Callable[[bool], None], ending: Callable[[], None] = lambda: None) -> None:
        """Start to read pieces."""
        threading.Thread(target=self._take, args=(released, ending), daemon=True).start()

    def metadata(self) -> dict[str, Any]:
        """Return status and headers, as in a REST proxy answer. Call it once, first. Raises `FunctionError`."""
        head = bytearray()
        while DELIMITER not in head and len(head) <= MAX_PRELUDE_BYTES:
            piece = self.next()
            if piece is None:
                break
            head += piece
        text, delimiter, self._rest = bytes(head).partition(DELIMITER)
        try:
            found = json.loads(text) if delimiter else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.close()
            raise FunctionRaised(
                "Runtime.MalformedPrelude", "the stream has no status and headers before its body"
            )
        return found

    def next(self) -> bytes | None:
        """Return the next piece of the body, or None at its end. Blocks. Raises `FunctionError`."""
        if self._rest:
            piece, self._rest = self._rest, b""
            return piece
        found = self._pieces.get()
        if isinstance(found, FunctionError):
            raise found
        return found

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self.next()) is not None:
            yield piece

    def close(self) -> None:
        """Break the function's connection. The function has `STOP_S` seconds to stop."""
        self._api.hang_up(self._id)

    def _take(self, released: Callable[[bool], None], ending: Callable[[], None]) -> None:
        last: FunctionError | None = None
        ended = False
        while True:
            happening = self._happening()
            if getattr(happening, "id", self._id) != self._id:
                continue  # a late event of the previous invocation
            match happening:
                case StreamPiece() if not self._closed:
                    self._pass_on(happening.content)
                case StreamEnded():
                    ended = True
                    ending()
                    self._pieces.put(last)
                case Failure() if not (self._closed or ended):
                    last = FunctionRaised(happening.type, happening.message)
                case ClientGone() if not self._closed:
                    self._closed = True
                    self._deadline = min(self._deadline, time.monotonic() + STOP_S)
                case Ready() | Exited() | None:
                    break
        usable = isinstance(happening, Ready)
        released(usable)
        if not usable:
            last = self._lost(happening)
        if not ended:
            self._pieces.put(last)

    def _pass_on(self, content: bytes) -> None:
        self._bytes += len(content)
        if self._bytes <= MAX_STREAM_BYTES:
            self._pieces.put(content)
        else:
            self._pieces.put(FunctionRaised("Function.ResponseSizeTooLarge", "the stream is over 200 MB"))
            self.close()

    def _happening(self) -> Happening | None:
        try:
            return self._api.happenings.get(timeout=max(self._deadline - time.monotonic(), 0))
        except queue.Empty:
            return None

    def _lost(self, happening: Happening | None) -> FunctionError:
        if isinstance(happening, Exited):
            return FunctionCrashed(
                f"{self._name} ended with status {happening.status} in the middle of its answer"
            )
        return FunctionTimedOut(f"{self._name} ran for too long and was killed")
