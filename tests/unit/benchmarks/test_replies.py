"""The replies of the model host that `make eval-answers` keeps between runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from benchmarks.answers.replies import Replies
from benchmarks.proxy import answer, listen


class Host:
    """A model host that counts its calls; `done` is whether its replies are whole, `status` its status."""

    def __init__(self) -> None:
        self.calls = 0
        self.done = True
        self.status = 200

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.calls += 1
        pieces = [{"message": {"content": "Ten [1]."}, "done": False}, {"done": self.done}]
        lines = b"".join(json.dumps(piece).encode() + b"\n" for piece in pieces)
        answer(request, self.status, lines, {"Content-Type": "application/x-ndjson"})


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def replies(host: Host, tmp_path: Path) -> Iterator[Replies]:
    server = listen(0, host)
    with closing(Replies(tmp_path)) as replies:
        replies.backend = f"http://127.0.0.1:{server.server_port}"
        yield replies
    server.shutdown()
    server.server_close()


def ask(replies: Replies, question: str = "When?", path: str = "/api/chat") -> httpx.Response:
    return httpx.post(f"{replies.url}{path}", json={"question": question}, trust_env=False, timeout=5)


def test_the_same_request_is_asked_once(replies: Replies, host: Host) -> None:
    first, second = ask(replies), ask(replies)
    assert first.content == second.content
    assert (host.calls, replies.replayed) == (1, 1)


def test_another_request_is_asked(replies: Replies, host: Host) -> None:
    ask(replies)
    ask(replies, "Where?")
    assert (host.calls, replies.replayed) == (2, 0)


@pytest.mark.parametrize(("status", "done"), [(200, False), (503, True)])
def test_a_failed_reply_is_not_kept(replies: Replies, host: Host, status: int, done: bool) -> None:
    host.status, host.done = status, done
    assert ask(replies).status_code == status
    ask(replies)
    assert (host.calls, replies.replayed) == (2, 0)


def test_other_routes_always_reach_the_host(replies: Replies, host: Host) -> None:
    ask(replies, path="/api/show")
    ask(replies, path="/api/show")
    assert host.calls == 2
