"""A bucket with documents to load, and what a load leaves, for the tests of `docwell load` (moto)."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from docwell.cli import load
from docwell.cli.loading import gate
from docwell.cli.loading import run as run_module
from tests.unit.cli.fake_api import BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

SOURCE = "archive"
KEYS = [f"2026/{folder}/{number:02}.pdf" for folder in ("a", "b", "c") for number in range(7)]
WHERE = ("--bucket", BUCKET, "--queue", "ingest")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "COUNT_EVERY_S", 0.001)
    monkeypatch.setattr(load, "QueueGate", partial(gate.QueueGate, pace=1e6))
    monkeypatch.setattr(run_module, "_RETRY_AFTER_S", (0.0,))
    monkeypatch.setattr(load, "_WORKERS", 4)


@pytest.fixture
def queue(bucket: S3Client) -> SQSClient:
    sqs = boto3.client("sqs")
    sqs.create_queue(QueueName="ingest")
    return sqs


@pytest.fixture
def archive(bucket: S3Client, queue: SQSClient) -> S3Client:
    """A bucket with 21 documents in three folders, beside the documents bucket."""
    bucket.create_bucket(Bucket=SOURCE)
    for key in KEYS:
        put(bucket, key)
    return bucket


def put(s3: S3Client, key: str, body: bytes | None = None, **more: Any) -> None:
    s3.put_object(Bucket=SOURCE, Key=key, Body=key.encode() if body is None else body, **more)


def versions(s3: S3Client) -> list[str]:
    """Return the keys of the documents bucket, one for each version."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET)
    return [row["Key"] for page in pages for row in page.get("Versions", [])]


def hinted(sqs: SQSClient) -> list[str]:
    url = sqs.get_queue_url(QueueName="ingest")["QueueUrl"]
    keys: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        keys += [json.loads(one["Body"])["docwell"]["key"] for one in messages]
    return keys


def omissions(folder: Path) -> dict[str, str]:
    (path,) = folder.glob("work/*.left-out.jsonl")
    return {one["key"]: one["reason"] for one in map(json.loads, path.read_text().splitlines())}


def stored(folder: Path) -> Any:
    (path,) = folder.glob("work/docwell-load-????????.json")
    return json.loads(path.read_text())


def answering(s3: Any, operation: str, status: int, code: str) -> None:
    """Make S3 answer one operation of the copier's client with an error."""

    def answer(request: Any, **_: object) -> AWSResponse:
        raw = type("Raw", (), {"stream": lambda _: [f"<Error><Code>{code}</Code></Error>".encode()]})()
        return AWSResponse(request.url, status, HTTPHeaders(), raw)

    s3.meta.events.register_first(f"before-send.s3.{operation}", answer)
