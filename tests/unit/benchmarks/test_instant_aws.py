"""The AWS that answers at once."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.instant_aws import InstantAws


class _Behind(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.asked.append((self.headers.get("x-amz-target", ""), body))
        answer = str(len(self.asked)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.client.HTTPConnection]:
    monkeypatch.setattr(_Behind, "asked", [], raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Behind) as behind:
        with InstantAws(f"http://127.0.0.1:{behind.server_port}") as aws:
            for server in (behind, aws):
                threading.Thread(target=server.serve_forever, daemon=True).start()
            with closing(http.client.HTTPConnection("127.0.0.1", aws.server_address[1])) as connection:
                yield connection
            aws.shutdown()
        behind.shutdown()


def ask(door: http.client.HTTPConnection, operation: str, body: bytes) -> bytes:
    target = {"x-amz-target": f"DynamoDB_20120810.{operation}"} if operation else {}
    door.request("POST", "/", body, target)
    return door.getresponse().read()


def test_a_write_is_answered_and_not_sent_on(door: http.client.HTTPConnection) -> None:
    assert [ask(door, name, b"{}") for name in ("UpdateItem", "PutItem")] == [b"{}", b"{}"]
    assert _Behind.asked == []


def test_a_read_is_asked_once_and_its_answer_repeated(door: http.client.HTTPConnection) -> None:
    read = "BatchGetItem"
    assert [ask(door, read, body) for body in (b"a", b"b", b"a")] == [b"1", b"2", b"1"]
    assert [body for _, body in _Behind.asked] == [b"a", b"b"]


def test_a_request_that_is_not_for_dynamodb_is_always_sent_on(door: http.client.HTTPConnection) -> None:
    assert [ask(door, "", b"a"), ask(door, "", b"a")] == [b"1", b"2"]
