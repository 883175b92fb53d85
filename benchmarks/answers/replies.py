"""Keeps the replies of the model host between runs, so that a change of the checks alone is judged in minutes.

At temperature 0 the same request gives the same reply, up to the rounding of parallel threads.
"""

import contextlib
import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.doors import local_stack
from benchmarks.proxy import HttpDoor, answer, reset
from infra.local.names import HOST
from infra.local.stack import DEADLINE_S, Stack
from infra.report import ROOT

# A file has the request on its first line and is named by the request's hash: model, options and all messages.
FOLDER = ROOT / "build" / "model-replies"
_NDJSON = {"Content-Type": "application/x-ndjson"}


class Replies(HttpDoor):
    """Ollama's protocol in front of a model host. `replayed` counts replies that came from the folder.

    A reply is kept only when it is whole. `backend` is the host's URL.
    """

    def __init__(self, folder: Path) -> None:
        self.backend = ""
        self.replayed = 0
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        try:
            if request.path == "/api/chat":
                self._chat(request, body)
            else:
                answer(request, *self._ask_host(request, body), {"Content-Type": "application/json"})
        except (OSError, http.client.HTTPException):
            reset(request)

    def _chat(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        path = self._folder / f"{sha256(body).hexdigest()}.ndjson"
        if path.is_file():
            self.replayed += 1
            answer(request, 200, path.read_bytes().partition(b"\n")[2], _NDJSON)
            return
        status, content = self._ask_host(request, body)
        if status == http.client.OK and _is_whole(content):
            path.write_bytes(body + b"\n" + content)
        answer(request, status, content, _NDJSON)

    def _ask_host(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        port = urlsplit(self.backend).port
        with closing(http.client.HTTPConnection(HOST, port, timeout=DEADLINE_S)) as connection:
            connection.request(request.command, request.path, body or None, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()


@contextmanager
def stack_with_replies(model: str) -> Iterator[tuple[Stack, Replies]]:
    """Run a stack whose functions reach its model host through the kept replies."""
    with (
        closing(Replies(FOLDER)) as replies,
        local_stack(model, environment={"DOCWELL_OLLAMA_URL": replies.url}) as stack,
    ):
        replies.backend = stack.ollama
        yield stack, replies


def _is_whole(content: bytes) -> bool:
    with contextlib.suppress(ValueError, IndexError, AttributeError):
        return json.loads(content.splitlines()[-1]).get("done") is True
    return False
