"""docwell's functions: their events, ingest in this process, and any function in a fresh process."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from hashlib import md5
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.parse import quote_plus

from benchmarks.fresh_wiring import clear_caches
from benchmarks.processes import WorkerMemory
from infra.local.names import ACCOUNT, INGEST_QUEUE, LOCAL_PRINCIPAL, REGION
from infra.report import ROOT
from runtime.functions import Environment, FunctionSpec, Stream
from runtime.poller import failed_ids, lambda_event

_QUIET = {
    "POWERTOOLS_METRICS_DISABLED": "true",
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_SERVICE_NAME": "docwell-ingest",
}


class _Context:
    """The parts of Lambda's context that the handler reads."""

    function_name = "docwell-ingest"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:docwell-ingest"
    aws_request_id = "0"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 60_000


@contextmanager
def ingest_handler(environment: Mapping[str, str]) -> Iterator[Callable[[Any], bool]]:
    """Set the environment during the block; yields a function that handles an event and returns its success."""
    with patch.dict(os.environ, {**environment, **_QUIET}):
        # Its Powertools objects read the environment when they are made.
        from functions.ingest.handler import handler

        clear_caches()

        def handle(event: dict[str, Any]) -> bool:
            # Powertools prints every hundred metrics even where metrics are off.
            with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing):
                answer: Any = handler(event, _Context())
            return not failed_ids(dict(answer), {record["messageId"] for record in event["Records"]})

        # The logger may be older than the environment.
        logging.disable(logging.CRITICAL)
        try:
            yield handle
        finally:
            logging.disable(logging.NOTSET)
            clear_caches()


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
    """Seconds from the start of the process to ready and to the first answer, peak bytes, and the answers."""

    ready: float
    first: float
    peak: int
    answers: Sequence[dict[str, Any]]


def run_fresh(spec: FunctionSpec, events: Sequence[Mapping[str, Any]], *, memory: bool = False) -> Fresh:
    """Start a process, send it the events one after another, and end it. Raises `FunctionError`.

    `memory` looks for the peak, which takes some processor time.
    """
    answers, first, watch = list[dict[str, Any]](), 0.0, WorkerMemory(spec.handler)
    with watch if memory else nullcontext():
        started = time.perf_counter()
        environment = Environment(spec)
        try:
            environment.wait_ready()
            ready = time.perf_counter() - started
            for event in events:
                answers.append(_complete(environment.begin(json.dumps(event).encode())))
                first = first or time.perf_counter() - started
        finally:
            environment.kill()
    return Fresh(ready, first, watch.peak.together, answers)


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
