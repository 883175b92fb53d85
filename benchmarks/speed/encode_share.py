"""The share of one worker's time in which it encodes, measured with ingest in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.events import CREATED, notification, sqs_event
from benchmarks.in_process import ingest_handler
from benchmarks.pdfs import pages_of_words
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from infra.local.names import LEDGER_TABLE
from infra.local.stack import Stack, function_variables

# A bucket and a queue that no worker of the stack reads.
_NAME = "docwell-encode-share"


def encode_share(stack: Stack, pdf: Path) -> tuple[float, float]:
    """Index one PDF, range after range; return the seconds, and the share (0 to 1) with the encoder at work.

    Raises `RuntimeError` where the document is not indexed.
    """
    s3, sqs = stack.client("s3"), stack.client("sqs")
    s3.create_bucket(Bucket=_NAME)
    s3.put_bucket_versioning(Bucket=_NAME, VersioningConfiguration={"Status": "Enabled"})
    queue = sqs.create_queue(QueueName=_NAME)["QueueUrl"]
    variables = function_variables(stack, "docwell-ingest") | {"DOCWELL_BUCKET": _NAME, "DOCWELL_QUEUE_URL": queue}
    spans: list[tuple[float, float]] = []
    embed = OnnxEmbedder.embed_passages

    def timed(self: OnnxEmbedder, texts: Sequence[str]) -> Any:
        started = time.perf_counter()
        try:
            return embed(self, texts)
        finally:
            spans.append((started, time.perf_counter()))

    with patch.object(OnnxEmbedder, "embed_passages", timed), ingest_handler(variables) as handle:

        def index(key: str, body: bytes) -> float:
            s3.put_object(Bucket=_NAME, Key=key, Body=body)
            bodies = [notification(CREATED, _NAME, key)]
            started = time.perf_counter()
            while bodies:
                for one in bodies:
                    if not handle(sqs_event(one)):
                        raise RuntimeError(f"{key}: a message failed")
                bodies = _received(sqs, queue)
            return time.perf_counter() - started

        index("warm-up.pdf", pages_of_words(1, 150))
        spans.clear()
        seconds = index(pdf.name, pdf.read_bytes())
    rows = stack.client("dynamodb").query(
        TableName=LEDGER_TABLE,
        KeyConditionExpression="document = :key",
        ExpressionAttributeValues={":key": {"S": pdf.name}},
    )["Items"]
    if not any(row.get("status") == {"S": "INDEXED"} for row in rows):
        raise RuntimeError(f"{pdf.name} is not indexed: {rows}")
    return seconds, covered(spans) / seconds


def _received(sqs: Any, queue: str) -> list[str]:
    """Return and delete the waiting messages."""
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return [message["Body"] for message in messages]


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Return the seconds that are in at least one span.

    >>> covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
    4.0
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
