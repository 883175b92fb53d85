"""docwell's functions: their events, their processes, and a function in a fresh process."""

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import md5
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import psutil

from infra.local.names import ACCOUNT, INGEST_QUEUE, LOCAL_PRINCIPAL, REGION
from infra.report import ROOT
from runtime.functions import Environment, FunctionSpec, Stream
from runtime.poller import lambda_event

_QUESTION = ROOT / "tests" / "events" / "query.json"
CREATED, REMOVED = "ObjectCreated:Put", "ObjectRemoved:Delete"
MARKED = "ObjectRemoved:DeleteMarkerCreated"


def question_event(question: str) -> dict[str, Any]:
    """Return API Gateway's event for a question with the local stack's own key."""
    event: dict[str, Any] = json.loads(_QUESTION.read_text(encoding="utf-8"))
    event["requestContext"]["authorizer"] = {"principalId": LOCAL_PRINCIPAL}
    return event | {"body": json.dumps({"question": question})}


def notification(name: str, bucket: str, key: str) -> str:
    """Return the body that S3 sends to SQS. It carries no version: an event is a hint."""
    entity = {"bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": {"key": quote_plus(key, "/")}}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventName": name, "s3": entity}
    return json.dumps({"Records": [record]})


def sqs_event(
    body: str,
    message: str = "message",
    receipt: str = "receipt",
    attributes: Mapping[str, str] | None = None,
    queue: str = INGEST_QUEUE,
) -> dict[str, Any]:
    """Return the event of one SQS message. `attributes` replace those of a first receive."""
    now = str(int(time.time() * 1000))
    first = {"ApproximateReceiveCount": "1", "SentTimestamp": now, "ApproximateFirstReceiveTimestamp": now}
    sent: Any = {"MessageId": message, "ReceiptHandle": receipt, "Body": body, "MD5OfBody": digest(body)}
    sent["Attributes"] = {**first, "SenderId": ACCOUNT, **(attributes or {})}
    return lambda_event([sent], f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}")


def digest(body: str) -> str:
    return md5(body.encode(), usedforsecurity=False).hexdigest()


_STREAM_S = 300.0


class Fresh(NamedTuple):
    """Seconds from the start of the process to ready and to its answer, and the answer."""

    ready: float
    first: float
    answer: dict[str, Any]


def run_fresh(spec: FunctionSpec, event: Mapping[str, Any]) -> Fresh:
    """Start a process, send it one event, and end it. Raises `FunctionError`."""
    started = time.perf_counter()
    environment = Environment(spec)
    try:
        environment.wait_ready()
        ready = time.perf_counter() - started
        answer = _complete(environment.begin(json.dumps(event).encode()))
        return Fresh(ready, time.perf_counter() - started, answer)
    finally:
        environment.kill()


def _complete(answer: bytes | Stream) -> dict[str, Any]:
    if not isinstance(answer, Stream):
        document: dict[str, Any] = json.loads(answer)
        return document
    free = threading.Event()
    answer.start(lambda _: free.set())
    metadata = answer.metadata()
    body = b"".join(answer).decode()
    free.wait(_STREAM_S)
    return {**metadata, "body": body}


def workers_of(parent: psutil.Process, handler: str) -> list[psutil.Process]:
    """Return the processes below `parent` that run `python -m RUNTIME HANDLER`; launchers have longer commands."""
    workers = []
    for process in parent.children(recursive=True):
        with suppress(psutil.Error):
            command = process.cmdline()
            if len(command) == 4 and command[1] == "-m" and command[3] == handler:
                workers.append(process)
    return workers
