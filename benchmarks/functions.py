"""The events of the ingest function, and the processes of functions."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import md5
from typing import Any
from urllib.parse import quote_plus

import psutil

from infra.local.names import ACCOUNT, INGEST_QUEUE, REGION
from runtime.poller import lambda_event

CREATED, REMOVED = "ObjectCreated:Put", "ObjectRemoved:Delete"
MARKED = "ObjectRemoved:DeleteMarkerCreated"


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


def workers_of(parent: psutil.Process, handler: str) -> list[psutil.Process]:
    """Return the processes below `parent` that run `python -m RUNTIME HANDLER`; launchers have longer commands."""
    workers = []
    for process in parent.children(recursive=True):
        with suppress(psutil.Error):
            command = process.cmdline()
            if len(command) == 4 and command[1] == "-m" and command[3] == handler:
                workers.append(process)
    return workers
