"""A Lambda runtime for Python that can stream: ``python -m docwell.http.streaming_runtime [HANDLER]``.

The managed runtime cannot stream (https://github.com/aws/aws-lambda-roadmap/issues/39). Once it can, delete this
module and `layers/docwell/docwell-stream`, which starts it in the managed runtime's place.

It sends a `StreamedResponse` piece by piece, and any other result as JSON. The handler must stream only on routes
whose integration has the transfer mode STREAM: API Gateway accepts a stream only there. Protocol:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPMessage
from importlib import import_module
from io import TextIOWrapper
from itertools import chain
from typing import Any

from docwell.garbage import uncollected
from docwell.http.streaming import StreamedResponse

Handler = Callable[[Any, "Context"], Any]

_API = "/2018-06-01/runtime"
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_STREAMED = {
    "Content-Type": "application/vnd.awslambda.http-integration-response",
    "Lambda-Runtime-Function-Response-Mode": "streaming",
    "Transfer-Encoding": "chunked",
}
_OK = 200


class Context:
    """The context of an invocation: the attributes of awslambdaric's LambdaContext that Powertools reads."""

    def __init__(self, headers: HTTPMessage) -> None:
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self._deadline_ms = int(headers["Lambda-Runtime-Deadline-Ms"] or 0)

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda stops the function."""
        return max(self._deadline_ms - int(time.time() * 1000), 0)


class _UnixConnection(HTTPConnection):
    """A connection to a Unix socket: outside Lambda, no other user may reach the events of a function."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Runtime:
    """The client of one Runtime API at `address`: host:port, or the path of a Unix socket."""

    def __init__(self, address: str) -> None:
        # Reuse one connection: opening one for each call took 1.4 ms of processor time for a question.
        self._connection = _UnixConnection(address) if address.startswith("/") else HTTPConnection(address)

    def load(self, name: str) -> Handler:
        """Import `module.function`, and call the module's `prepare`, if any, before any event and snapshot.

        An error is reported to Lambda and ends the process with status 1.
        """
        with self._reporting("/init/error"), uncollected():
            module_name, _, function = name.rpartition(".")
            module = import_module(module_name.replace("/", "."))
            handler: Handler = getattr(module, function)
            getattr(module, "prepare", lambda: None)()
        return handler

    def restored(self) -> None:
        """With SnapStart, wait for a restore; Lambda takes the snapshot meanwhile.

        No library of docwell registers hooks around the snapshot, so none run.
        """
        with self._reporting("/restore/error"):
            self._call("GET", "/restore/next")
            random.seed()  # otherwise all restored environments would draw the same pauses between retries

    def answer_next(self, handler: Handler) -> None:
        """Wait for an invocation and answer it."""
        body, headers = self._call("GET", "/invocation/next")
        context = Context(headers)
        os.environ["_X_AMZN_TRACE_ID"] = headers["Lambda-Runtime-Trace-Id"] or ""
        path = f"/invocation/{context.aws_request_id}"
        try:
            result = handler(json.loads(body), context)
            plain = None if isinstance(result, StreamedResponse) else json.dumps(result).encode()
        except Exception as error:  # noqa: BLE001 - reported to Lambda
            self._post_error(f"{path}/error", _logged(error, context.aws_request_id))
            return
        if isinstance(result, StreamedResponse):
            self._stream(f"{path}/response", result, context.aws_request_id)
        else:
            self._call("POST", f"{path}/response", plain)

    def _stream(self, path: str, response: StreamedResponse, request_id: str) -> None:
        """Send a response, then close it: the client does not wait for its follow-up work.

        Lambda ends the invocation when the runtime asks for the next one. A client may leave.
        """
        pieces = chain([response.prelude()], response.body)
        try:
            with suppress(OSError, HTTPException), closing(response), self._closed_on_error() as connection:
                connection.request("POST", _API + path, pieces, _STREAMED, encode_chunked=True)
                connection.getresponse().read()
        except Exception as error:  # noqa: BLE001 - the closed connection tells Lambda
            _logged(error, request_id)

    @contextmanager
    def _reporting(self, path: str) -> Generator[None]:
        """Report any error of the block to Lambda, then exit with status 1."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - the process ends
            _print(f"[ERROR] {type(error).__name__}: {error}")  # its message cannot hold user text yet
            self._post_error(path, _logged(error, ""))
            sys.exit(1)

    def _post_error(self, path: str, error: Mapping[str, Any]) -> None:
        self._call("POST", path, json.dumps(error).encode(), {_ERROR_TYPE: error["errorType"]})

    @contextmanager
    def _closed_on_error(self) -> Generator[HTTPConnection]:
        """Yield the connection for one exchange; close it on an error. http.client reopens a closed connection."""
        used = self._connection.sock
        if used is not None and select.select([used], [], [], 0)[0]:  # the API has closed it
            self._connection.close()
        try:
            yield self._connection
        except BaseException:
            self._connection.close()
            raise

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, HTTPMessage]:
        """Send one request to the Runtime API; return the body and the headers of its answer."""
        headers = {"Content-Type": "application/json", **(headers or {})} if body is not None else {}
        with self._closed_on_error() as connection:
            connection.request(method, _API + path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        # The caller already got its 413 (over 6 MB); only a failed GET for the next event is fatal.
        if method == "GET" and answer.status != _OK:
            raise ConnectionError(f"the Runtime API says {answer.status} to {path}")
        return content, answer.headers


def _logged(error: BaseException, request_id: str) -> dict[str, Any]:
    """Return an error as Lambda expects it. Print its type and place, not its message: it may hold user text."""
    kind = type(error).__name__
    frames = [line for line in traceback.extract_tb(error.__traceback__) if line.filename != __file__]
    trace = traceback.format_list(frames)
    # CloudWatch joins lines that end in carriage returns into one event.
    _print("\r".join([f"[ERROR] {kind} {request_id}", *"".join(trace).splitlines()]))
    return {"errorType": kind, "errorMessage": str(error), "stackTrace": trace, "requestId": request_id}


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve invocations until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    runtime = Runtime(os.environ["AWS_LAMBDA_RUNTIME_API"])
    handler = runtime.load(sys.argv[1] if len(sys.argv) > 1 else os.environ["_HANDLER"])
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        runtime.restored()
    while True:
        runtime.answer_next(handler)


if __name__ == "__main__":
    main()
