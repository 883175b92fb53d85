"""The doors of a running stack, for commands that measure through them: the bucket, and the API over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from docwell.http.sse import CONTENT_TYPE
from docwell.models import FINAL
from infra.local.stack import Stack


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event. `data` is its JSON, or None where it is none."""

    name: str
    data: Any


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw of one question. `status` is 0 when the connection broke; `body` is JSON or None.

    `seconds` is from the request to the last byte, `first_byte_s` to the first of the body. A stream has
    `events`; `broken` says how the connection ended where it did not end as HTTP wants it.
    """

    status: int
    content_type: str
    body: Any
    seconds: float
    first_byte_s: float | None = None
    events: tuple[Event, ...] = ()
    broken: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Doors:
    """Bucket and API of one stack, with its API key; a context manager. `timeout_s` is for one answer."""

    def __init__(self, stack: Stack, timeout_s: float) -> None:
        self._stack = stack
        self._timeout_s = timeout_s
        self._s3 = stack.client("s3")
        self._client = stack.http(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def put(self, key: str, body: bytes | Path) -> str:
        """Upload a document; gives its version."""
        content = body.read_bytes() if isinstance(body, Path) else body
        answer = self._s3.put_object(Bucket=self._stack.bucket, Key=key, Body=content)
        return str(answer["VersionId"])

    def document(self, key: str) -> dict[str, Any] | None:
        """What the API says of a document; None where it says 404. Raises `httpx.HTTPError`."""
        response = self._client.get(f"/v1/documents/{quote(key, safe='')}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        found: dict[str, Any] = response.raise_for_status().json()
        return found

    def settled(self, key: str, version: str, timeout_s: float) -> dict[str, Any]:
        """The document once that version has a final status. Raises `TimeoutError`."""
        deadline = time.monotonic() + timeout_s
        document = None
        while time.monotonic() < deadline:
            with suppress(httpx.HTTPError):  # a gateway that is just being started, or busy with ingest beside it
                document = self.document(key)
            if document and document["status"] in FINAL and document["version"] == version:
                return document
            time.sleep(0.2)
        raise TimeoutError(f"{key} has no final status after {timeout_s:.0f} s: {document}")

    def ask(self, body: Mapping[str, Any]) -> Seen:
        """One question. Raises nothing: what went wrong is in what was seen."""
        started = time.monotonic()
        content, first_byte = bytearray(), None
        status, headers, broken = 0, httpx.Headers(), None
        try:
            with self._client.stream("POST", "/v1/query", json=dict(body)) as response:
                status, headers = response.status_code, response.headers
                for piece in response.iter_bytes():
                    if first_byte is None:
                        first_byte = time.monotonic() - started
                    content += piece
                    if time.monotonic() - started > self._timeout_s:
                        broken = "no end within the client's patience"
                        break
        except httpx.HTTPError as error:
            broken = type(error).__name__
        seconds = time.monotonic() - started
        kind = headers.get("content-type", "").partition(";")[0].strip()
        text = content.decode("utf-8", "replace")
        is_stream = kind == CONTENT_TYPE
        return Seen(
            status=status,
            content_type=kind,
            body=None if is_stream else _json(text),
            seconds=seconds,
            first_byte_s=first_byte,
            events=tuple(events_of(text)) if is_stream else (),
            broken=broken,
            headers=dict(headers),
        )


def events_of(text: str) -> list[Event]:
    r"""The server-sent events of a body; comments are left out, and an event that the body ends in.

    >>> events_of(": waiting\n\nevent: token\ndata: {\"text\": \"a\"}\n\n")
    [Event(name='token', data={'text': 'a'})]
    >>> events_of("event: answer\ndata: {}")
    []
    """
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n")[:-1]:
        name, data = "message", []
        for line in block.split("\n"):
            label, _, value = line.partition(":")
            if label == "event":
                name = value.removeprefix(" ")
            elif label == "data":
                data.append(value.removeprefix(" "))
        if data:
            found.append(Event(name, _json("\n".join(data))))
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
