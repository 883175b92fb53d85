"""The events that Lambda gives to docwell's functions."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from hashlib import md5
from typing import Any
from urllib.parse import quote_plus

from infra.local.names import ACCOUNT, LOCAL_API_KEY_ID, REGION

CREATED, REMOVED = "ObjectCreated:Put", "ObjectRemoved:Delete"
MARKED = "ObjectRemoved:DeleteMarkerCreated"


def question_event(question: str) -> dict[str, Any]:
    """Return API Gateway's event for a question with the local stack's own key."""
    return {
        "resource": "/{proxy+}",
        "path": "/v1/query",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": "v1/query"},
        "requestContext": {"requestId": "benchmark", "identity": {"apiKeyId": LOCAL_API_KEY_ID}},
        "body": json.dumps({"question": question}),
        "isBase64Encoded": False,
    }


def notification(name: str, bucket: str, key: str) -> str:
    """Return the body that S3 sends to SQS. It carries no version: an event is a hint."""
    entity = {"bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": {"key": quote_plus(key, "/")}}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventName": name, "s3": entity}
    return json.dumps({"Records": [record]})


def sqs_event(
    body: str, message: str = "message", receipt: str = "receipt", attributes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the event of one SQS message. `attributes` replace those of a first receive."""
    now = str(int(time.time() * 1000))
    record = {
        "messageId": message,
        "receiptHandle": receipt,
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": now,
            "ApproximateFirstReceiveTimestamp": now,
            "SenderId": ACCOUNT,
            **(attributes or {}),
        },
        "messageAttributes": {},
        "md5OfBody": digest(body),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:docwell-ingest",
        "awsRegion": REGION,
    }
    return {"Records": [record]}


def digest(body: str) -> str:
    return md5(body.encode(), usedforsecurity=False).hexdigest()
