"""The door through which workers reach the unkind queue: those calls of SQS that docwell makes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.faults.delivery import UnkindQueue
from infra.local.names import ACCOUNT, HOST


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A worker that was killed leaves its connection half-way."""


class SqsDoor:
    """An SQS endpoint in front of one queue, until `close`."""

    def __init__(self, queue: UnkindQueue) -> None:
        """Listen on a free port."""
        actions: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            "SendMessageBatch": lambda request: {
                "Successful": [_sent(entry["Id"], entry["MessageBody"], queue) for entry in request["Entries"]],
                "Failed": [],
            },
            "SendMessage": lambda request: _sent("", request["MessageBody"], queue),
            "ChangeMessageVisibility": lambda request: (
                {} if queue.change_visibility(request["ReceiptHandle"], request["VisibilityTimeout"]) else None
            ),
            "GetQueueAttributes": lambda _: {
                "Attributes": {"ApproximateNumberOfMessages": str(queue.size())},
            },
        }

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                action = actions.get(self.headers["X-Amz-Target"].removeprefix("AmazonSQS."))
                answer = action(request) if action else None
                status = 400 if answer is None else 200
                gone = {"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid", "message": "gone"}
                body = json.dumps(gone if answer is None else answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = _Server((HOST, 0), Handler)
        self.endpoint = f"http://{HOST}:{self._server.server_port}"
        self.queue_url = f"{self.endpoint}/{ACCOUNT}/docwell-ingest"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


def _sent(id_: str, body: str, queue: UnkindQueue) -> dict[str, Any]:
    digest = md5(body.encode()).hexdigest()  # noqa: S324 - SQS's own
    return {"Id": id_, "MessageId": queue.send(body), "MD5OfMessageBody": digest}
