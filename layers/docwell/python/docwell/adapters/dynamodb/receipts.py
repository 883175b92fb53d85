"""Receipts in DynamoDB: one item for each answer, under the principal that asked.

Item: `principal` (partition key), `request_id` (sort key), `created_at` and `expires_at` (seconds; the second is
the table's TTL attribute), `prompt_version`, `model`, `model_digest`, `verdict`, and `body`: request, answer,
passages and options as JSON text, compressed. DynamoDB's own numbers would not give floats back as they were.
The table is encrypted at rest by its own setting.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from docwell.adapters.aws import error_code, vendor_errors
from docwell.answers import Receipt
from docwell.errors import BadInput, Corrupt

_CONDITION_FAILED = "ConditionalCheckFailedException"
_DAY_S = 86_400
# DynamoDB's limits: 400 KB for an item with its names, 2,048 bytes for a partition key, 1,024 for a sort key.
_MAX_BODY = 400 * 1024 - 8 * 1024  # what is not the body stays under 8 KB
_MAX_PRINCIPAL = 2048
_MAX_REQUEST_ID = 1024
_MAX_NAME = 1024


class DynamoReceipts:
    """`docwell.ports.Receipts` over one table. Receipts are kept for so many days."""

    def __init__(
        self,
        client: Any,
        table: str,
        days: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
        self._days = days
        self._clock = clock

    def keep(self, receipt: Receipt) -> None:
        """Store it; the same request id again takes its place. Raises `BadInput` for one over DynamoDB's size."""
        if not _possible(receipt.principal, receipt.request_id):
            raise BadInput("the receipt is not kept: its request id cannot be a key")
        body = _pack(receipt)
        if len(body) > _MAX_BODY:
            raise BadInput(f"the receipt is not kept: {len(body):,} bytes compressed, over DynamoDB's limit")
        item = {
            **_key(receipt.principal, receipt.request_id),
            "created_at": {"N": repr(receipt.created_at)},
            "expires_at": {"N": str(int(self._clock() + self._days * _DAY_S))},
            "prompt_version": {"S": receipt.prompt_version[:_MAX_NAME]},
            "model": {"S": receipt.model[:_MAX_NAME]},
            "body": {"B": body},
        }
        for name, value in (("model_digest", receipt.model_digest), ("verdict", receipt.verdict)):
            if value is not None:
                item[name] = {"S": value[:_MAX_NAME]}
        with vendor_errors("receipts"):
            self._client.put_item(TableName=self._table, Item=item)

    def get(self, principal: str, request_id: str) -> Receipt | None:
        """Read consistently; None for another principal's, and for one whose time is over. Raises `Corrupt`."""
        if not _possible(principal, request_id):
            return None
        with vendor_errors("receipts"):
            answer = self._client.get_item(
                TableName=self._table, Key=_key(principal, request_id), ConsistentRead=True
            )
        item = answer.get("Item")
        # DynamoDB removes an expired item within a few days, not at once.
        if item is None or float(item["expires_at"]["N"]) <= self._clock():
            return None
        return _receipt(item)

    def judge(self, principal: str, request_id: str, verdict: str) -> bool:
        """Attach a verdict; a later one takes the place of an earlier one."""
        if not _possible(principal, request_id):
            return False
        with vendor_errors("receipts"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(principal, request_id),
                    UpdateExpression="SET verdict = :verdict",
                    ConditionExpression="expires_at > :now",
                    ExpressionAttributeValues={":verdict": {"S": verdict}, ":now": {"N": repr(self._clock())}},
                )
            except ClientError as error:
                if error_code(error) == _CONDITION_FAILED:
                    return False
                raise
        return True


def _key(principal: str, request_id: str) -> dict[str, Any]:
    return {"principal": {"S": principal}, "request_id": {"S": request_id}}


def _possible(principal: str, request_id: str) -> bool:
    """Whether these can be keys at all: neither empty nor too long, and with no lone surrogates."""
    try:
        sizes = len(principal.encode()), len(request_id.encode())
    except UnicodeEncodeError:
        return False
    return 0 < sizes[0] <= _MAX_PRINCIPAL and 0 < sizes[1] <= _MAX_REQUEST_ID


def _pack(receipt: Receipt) -> bytes:
    body = {
        "request": receipt.request,
        "answer": receipt.answer,
        "passages": receipt.passages,
        "options": receipt.options,
    }
    return zlib.compress(json.dumps(body, separators=(",", ":")).encode("ascii"))


def _receipt(item: dict[str, Any]) -> Receipt:
    try:
        body = json.loads(zlib.decompress(item["body"]["B"]))
        passages = tuple((identifier, document, version) for identifier, document, version in body["passages"])
        return Receipt(
            principal=item["principal"]["S"],
            request_id=item["request_id"]["S"],
            created_at=float(item["created_at"]["N"]),
            request=body["request"],
            answer=body["answer"],
            passages=passages,
            prompt_version=item["prompt_version"]["S"],
            model=item["model"]["S"],
            model_digest=item.get("model_digest", {}).get("S"),
            options=body["options"],
            verdict=item.get("verdict", {}).get("S"),
        )
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise Corrupt("a receipt cannot be read") from error
