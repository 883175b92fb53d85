"""A model host that speaks Ollama's protocol, at a set pace, and fails byte by byte on demand.

``python -m benchmarks.model_host`` runs a host that answers at once. Without `says` it answers with the first
sentence of the prompt's first passage, cited as `[1]`, so that every question takes the whole path.
"""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from typing import Any

from benchmarks.proxy import HttpDoor, reset

MODEL, DELAY_PATH = "bench:1b", "/first-token"
_PASSAGE = re.compile(r"^\[1\] (.+?)(?=^\[2\] |^</passages>|\Z)", re.MULTILINE | re.DOTALL)
_SENTENCE = re.compile(r"\w[^.!?]{20,300}[.!?]")
# Longer than any deadline of a run.
_HANG_S = 600.0


class Misdeed(StrEnum):
    """The host's failures."""

    NONE = "well"
    DOWN = "down: connections refused"
    NOT_FOUND = "404: no such model"
    BUSY = "503"
    SLOW = "1 s to the first token"
    STALL = "stall in mid-stream"
    MALFORMED = "malformed line"
    CUT = "connection reset in mid-stream"
    ENDS_EARLY = "stream ends without its last line"
    ERROR_LINE = "error line in mid-stream"
    WRONG_JSON = "JSON of another shape"
    HTML = "an HTML page under 200"
    HEADER_DRIP = "headers without end, a byte at a time"
    BODY_DRIP = "a line without end, a byte at a time"
    HANG = "10-minute hang"
    FLOOD = "tokens without end"
    ENDLESS_LINE = "a line without end, fast"


# These failures answer every request; all others answer chats only.
_WHOLE_HOST = {Misdeed.NOT_FOUND, Misdeed.BUSY, Misdeed.HTML, Misdeed.HEADER_DRIP, Misdeed.HANG}
_SMALL: dict[str, Any] = {
    "/api/show": {
        "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
        "capabilities": ["completion"],
    },
    "/": "Ollama is running",
    "/api/tags": {"models": [{"name": MODEL, "model": MODEL, "digest": "b" * 64, "size": 1}]},
}
_PROMPT_TOKENS = 900
_KIND = "application/x-ndjson"
# The steps of an answer: bytes to send, or seconds to wait.
Steps = Iterator[bytes | float]


def _head(status: int, kind: str, body: bytes | None = None) -> bytes:
    """Return status and headers, and the body; chunks follow where the body is None."""
    length = "Transfer-Encoding: chunked" if body is None else f"Content-Length: {len(body)}"
    head = f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nConnection: close\r\n{length}\r\n\r\n"
    return head.encode() + (body or b"")


def _json(status: int, body: Any) -> bytes:
    return _head(status, "application/json", json.dumps(body).encode())


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _token(content: str, **fields: Any) -> bytes:
    """Return a line of Ollama's stream."""
    message = {"role": "assistant", "content": content}
    return json.dumps({"model": MODEL, "message": message, "done": False} | fields).encode() + b"\n"


def _steps(misdeed: Misdeed, words: Sequence[str], first_s: float, pace_s: float) -> Steps:
    """Yield the answer to a question."""
    whole = {
        Misdeed.NOT_FOUND: _json(404, {"error": f"model '{MODEL}' not found"}),
        Misdeed.BUSY: _json(503, {"error": "server busy, please try again"}),
        Misdeed.HTML: _head(200, "text/html", b"<html><h1>Sign in to the network</h1></html>"),
        Misdeed.WRONG_JSON: _head(200, _KIND, b'{"choices":[{"text":7}]}\n[1]\n'),
    }
    if misdeed in whole:
        yield whole[misdeed]
    elif misdeed is Misdeed.HANG:
        yield _HANG_S
    elif misdeed is Misdeed.HEADER_DRIP:
        yield b"HTTP/1.1 200 OK\r\n"
        for byte in cycle(b"X-Wait: more\r\n"):
            yield bytes([byte])
            yield 0.1
    else:
        yield _head(200, _KIND)
        yield 1.0 if misdeed is Misdeed.SLOW else first_s
        yield from _stream(Misdeed.NONE if misdeed is Misdeed.SLOW else misdeed, words, pace_s)


def _stream(misdeed: Misdeed, words: Sequence[str], pace_s: float) -> Steps:
    endless = {
        Misdeed.BODY_DRIP: (_chunk(b"x"), 0.1),
        Misdeed.ENDLESS_LINE: (_chunk(b"x" * 65_536), 0.05),
        Misdeed.FLOOD: (_chunk(_token("more ")), 0.002),
    }
    if misdeed in endless:
        yield b"" if misdeed is Misdeed.FLOOD else _chunk(b'{"message":{"content":"')
        yield from cycle(endless[misdeed])
    for word in words if misdeed is Misdeed.NONE else ["word "] * 5:
        yield _chunk(_token(word))
        yield pace_s
    done = _token("", done=True, done_reason="stop", prompt_eval_count=_PROMPT_TOKENS, eval_count=len(words))
    last = {
        Misdeed.NONE: _chunk(done),
        Misdeed.MALFORMED: _chunk(b'{"message": {"content": "abc\n'),
        Misdeed.ERROR_LINE: _chunk(b'{"error": "an error was encountered while running the model"}\n'),
        Misdeed.ENDS_EARLY: b"",
    }
    if misdeed is Misdeed.STALL:
        yield _HANG_S
    elif misdeed in last:
        yield last[misdeed] + b"0\r\n\r\n"


class ModelHost(HttpDoor):
    """A host on a free port. `says` is its answer while it is healthy.

    `DELAY_PATH` answers with the seconds from its last request for an answer to the first token.
    """

    def __init__(self, says: str = "", first_s: float = 0.0, pace_s: float = 0.0) -> None:
        self.misdeed = Misdeed.NONE
        self.chats = 0
        self._says, self._first_s, self._pace_s, self._sent_s = says, first_s, pace_s, list[float]()
        super().__init__()

    def say(self, text: str, pace_s: float | None = None) -> None:
        """Answer with this text from now on; with an empty text, with the passage's first sentence."""
        self._says = text
        self._pace_s = self._pace_s if pace_s is None else pace_s

    def behave(self, misdeed: Misdeed) -> None:
        """Fail like this from now on, and cut off running answers."""
        self.misdeed = misdeed
        self._change(down=misdeed is Misdeed.DOWN)

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        released, misdeed = self._released, self.misdeed
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path, is_chat = request.path, request.path == "/api/chat"
        self.chats += is_chat
        if not is_chat and misdeed not in _WHOLE_HOST:
            request.wfile.write(_json(200, {**_SMALL, DELAY_PATH: self._sent_s[1:2]}.get(path, {})))
        else:
            started, self._sent_s = time.perf_counter(), []
            words = [f"{word} " for word in self._says.split(" ")] if self._says else answer_to(body)
            for step in _steps(misdeed, words, self._first_s, self._pace_s):
                if isinstance(step, bytes):
                    request.wfile.write(step)
                    self._sent_s.append(time.perf_counter() - started)
                elif step:
                    released.wait(step)
                if released.is_set():
                    break
            if misdeed is Misdeed.CUT or released.is_set():
                reset(request)


def answer_to(request: bytes) -> list[str]:
    r"""Return the words of the first sentence of the prompt's first passage, cited.

    >>> prompt = r"<passages>\n[1] The boiler was inspected in May.\n[2] No.\n</passages>"
    >>> answer_to(b'{"messages": [{"content": "%s"}]}' % prompt.encode())
    ['The ', 'boiler ', 'was ', 'inspected ', 'in ', 'May ', '[1]. ']
    """
    messages = json.loads(request or b"{}").get("messages") or [{"content": ""}]
    prompt = messages[-1]["content"]
    passage = _PASSAGE.search(prompt)
    text = passage[1] if passage else prompt
    sentence = _SENTENCE.search(text)
    shown = " ".join(sentence[0].split() if sentence else text.split()[:30])
    return [f"{word} " for word in f"{shown.rstrip('.!?')} [1].".split()]


@contextmanager
def model_server() -> Iterator[str]:
    """Run a host in a separate process, which takes no time from a benchmark; yields its URL."""
    with subprocess.Popen([sys.executable, "-m", __spec__.name], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.kill()


if __name__ == "__main__":
    print(ModelHost().url, flush=True)
    threading.Event().wait()
