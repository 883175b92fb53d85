"""The door through which workers reach the unkind queue: those calls of SQS that docwell makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import md5
from http.server import BaseHTTPRequestHandler
from typing import Any

from benchmarks.faults.delivery import UnkindQueue
from benchmarks.listening import listen
from infra.local.names import ACCOUNT, HOST


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

        def handle(request: BaseHTTPRequestHandler) -> None:
            sent = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
            action = actions.get(request.headers["X-Amz-Target"].removeprefix("AmazonSQS."))
            answer = action(sent) if action else None
            gone = {"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid", "message": "gone"}
            body = json.dumps(gone if answer is None else answer).encode()
            request.send_response(400 if answer is None else 200)
            request.send_header("Content-Type", "application/x-amz-json-1.0")
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)

        self._server = listen(0, handle)
        self.endpoint = f"http://{HOST}:{self._server.server_port}"
        self.queue_url = f"{self.endpoint}/{ACCOUNT}/docwell-ingest"

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


def _sent(id_: str, body: str, queue: UnkindQueue) -> dict[str, Any]:
    digest = md5(body.encode()).hexdigest()  # noqa: S324 - SQS's own
    return {"Id": id_, "MessageId": queue.send(body), "MD5OfMessageBody": digest}
