"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

CONTENT_TYPE = "text/event-stream"
# Without the last header nginx buffers the answer: its client would see no event before the end.
HEADERS = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# A comment, which clients skip: it keeps the connection alive, and detects a client that has left.
WAITING = b": waiting\n\n"

# UTF-8 cannot encode lone surrogates. Some clients end a line at the other characters, against the standard.
_ESCAPED = re.compile("[\x85\u2028\u2029\ud800-\udfff]")


def event(name: str, data: Mapping[str, Any]) -> bytes:
    """Encode one event with `data` as JSON on one line. Raises `ValueError` for NaN and cycles."""
    return f"event: {name}\n".encode() + message(data)


def message(data: Mapping[str, Any]) -> bytes:
    """Encode one event without a name. Raises as `event`."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return f"data: {text}\n\n".encode()


def read(lines: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield the events of a stream, as (name, data), from its lines without their ends.

    An unfinished last event is dropped, as the standard says. Raises `ValueError` when data is not JSON.
    """
    name, data = "message", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not line:
            if data:
                yield name, json.loads("\n".join(data))
            name, data = "message", []
