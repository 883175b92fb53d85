"""An SQS endpoint in front of the unkind queue, with the calls that docwell makes."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from benchmarks.events import digest
from benchmarks.faults.delivery import UnkindQueue
from benchmarks.proxy import answer, listen
from infra.local.names import ACCOUNT, HOST


class SqsDoor:
    """The endpoint, on a free port until `close`."""

    def __init__(self, queue: UnkindQueue) -> None:
        self._queue = queue
        self._server = listen(0, self._handle)
        self.endpoint = f"http://{HOST}:{self._server.server_port}"
        self.queue_url = f"{self.endpoint}/{ACCOUNT}/docwell-ingest"

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        sent = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        said = self._act(request.headers["X-Amz-Target"].removeprefix("AmazonSQS."), sent)
        status = 200 if said is not None else 400
        gone = {"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid", "message": "gone"}
        body = json.dumps(gone if said is None else said).encode()
        answer(request, status, body, {"Content-Type": "application/x-amz-json-1.0"})

    def _act(self, action: str, sent: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer of an action; None where it fails."""
        match action:
            case "SendMessageBatch":
                entries = [self._send(entry["Id"], entry["MessageBody"]) for entry in sent["Entries"]]
                return {"Successful": entries, "Failed": []}
            case "SendMessage":
                return self._send("", sent["MessageBody"])
            case "ChangeMessageVisibility":
                known = self._queue.change_visibility(sent["ReceiptHandle"], sent["VisibilityTimeout"])
                return {} if known else None
            case "GetQueueAttributes":
                return {"Attributes": {"ApproximateNumberOfMessages": str(self._queue.size())}}
        return None

    def _send(self, id_: str, body: str) -> dict[str, Any]:
        return {"Id": id_, "MessageId": self._queue.send(body), "MD5OfMessageBody": digest(body)}
