"""Receipts in DynamoDB: one row for each answer, under the principal that asked.

Row: `principal` (partition key), `request_id` (sort key), `created_at` and `expires_at` (seconds; the second is
the table's TTL attribute), `prompt_version`, `model`, `model_digest`, `verdict`, `comment` (compressed), and
`body`: request, answer, passages, options and fit as compressed JSON, since DynamoDB's numbers would not return
floats unchanged. Of the request's history it holds hashes of the answers alone: no later question stores the words
of an erased document again. The table's own setting encrypts it at rest.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from hashlib import sha256
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from docwell.adapters.dynamodb.table import Row, Selection, Table, can_be_key
from docwell.answers import AnswerStatus, Receipt, answer_in
from docwell.errors import BadInput, Corrupt

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_DAY_S = 86_400
# DynamoDB's limits: 400 KB for an item with its names, 2,048 bytes for a partition key, 1,024 for a sort key.
_MAX_BODY = 400 * 1024 - 12 * 1024  # the rest takes less than 12 KB
_MAX_PRINCIPAL = 2048
_MAX_REQUEST_ID = 1024
_MAX_NAME = 1024
_NAMES = ("prompt_version", "model", "model_digest", "verdict")
_BODY = ("request", "answer", "passages", "options", "fit")


class DynamoReceipts:
    """`docwell.ports.Receipts` over one table, which keeps each receipt for `days`."""

    def __init__(
        self, client: DynamoDBClient, table: str, days: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = Table(client, table, "receipts")
        self._days = days
        self._clock = clock

    def keep(self, receipt: Receipt) -> None:
        """Store the receipt unless one exists for its request id. Raises `BadInput` if it is too large."""
        if not _possible(receipt.principal, receipt.request_id):
            raise BadInput("the receipt is not kept: its request id cannot be a key")
        unpacked = {name: getattr(receipt, name) for name in _BODY}
        history = [_digest(turn) for turn in receipt.request.get("history") or ()]
        unpacked["request"] = {**receipt.request, "history": history}
        body = zlib.compress(json.dumps(unpacked, separators=(",", ":")).encode("ascii"))
        if len(body) > _MAX_BODY:
            raise BadInput(f"the receipt is not kept: {len(body):,} bytes compressed, over DynamoDB's limit")
        names = {name: getattr(receipt, name) for name in _NAMES}
        self._table.put(
            {
                **_key(receipt.principal, receipt.request_id),
                "created_at": receipt.created_at,
                "expires_at": int(self._clock() + self._days * _DAY_S),
                "body": body,
                **{name: value and value[:_MAX_NAME] for name, value in names.items()},
            },
            only_if_new=True,
        )

    def get(self, principal: str, request_id: str) -> Receipt | None:
        """Return the principal's receipt, read consistently; None when it has expired. Raises `Corrupt`."""
        if not _possible(principal, request_id):
            return None
        row = self._table.get(_key(principal, request_id))
        # DynamoDB removes an expired row within a few days, not at once.
        if row is None or row["expires_at"] <= self._clock():
            return None
        return _receipt(row)

    def judge(self, principal: str, request_id: str, verdict: str, comment: str | None) -> str | None:
        """Store a verdict and its comment; replace earlier ones.

        Return the previous verdict, empty for none; None when there is no such receipt.
        """
        if not _possible(principal, request_id):
            return None
        compressed = comment and zlib.compress(comment.encode())
        before = self._table.update(
            _key(principal, request_id),
            "SET verdict = :verdict, #comment = :comment",
            {"verdict": verdict, "comment": compressed, "now": self._clock()},
            condition="expires_at > :now",
            returns="ALL_OLD",  # UPDATED_OLD of moto omits unchanged values
        )
        return None if before is None else before.get("verdict") or ""


def erase_receipts(
    client: DynamoDBClient,
    name: str,
    documents: Collection[str],
    prefix: str | None = None,
    *,
    dry_run: bool = False,
) -> tuple[int, list[str]]:
    """Delete the receipts that name one of the documents, or one below the prefix, and those of later questions.

    A later question has the answer of an erased receipt in its history. Return the number of receipts, and the
    keys of those that cannot be read: they stay, and may have the text.
    """
    table, stored = Table(client, name, "receipts"), list[tuple[float, Row, bool, set[str], set[str]]]()
    damaged = list[str]()
    for row in table.rows(Selection(filter="", values={})):
        try:
            receipt = _receipt(row)
        except Corrupt:
            damaged.append(f"{row['principal']} {row['request_id']}")
            continue
        names, history = _documents(receipt), receipt.request.get("history") or ()
        is_direct = bool(names.intersection(documents)) or any(prefix and key.startswith(prefix) for key in names)
        # Refusals without a quote share their text.
        is_shared = receipt.answer.get("status") == AnswerStatus.REFUSED and not receipt.answer.get("citations")
        answer = set() if is_shared else {_digest(receipt.answer)}
        key = _key(receipt.principal, receipt.request_id)
        stored.append((receipt.created_at, key, is_direct, set(map(_digest, history)), answer))
    keys, answers = list[Row](), set[str]()
    for _, key, is_direct, history_answers, answer in sorted(stored, key=itemgetter(0)):
        if is_direct or history_answers & answers:
            keys.append(key)
            answers |= answer
    if not dry_run:
        # The newest first: after an interruption, the answers that are left lead to their later questions.
        table.delete_many(keys[::-1])
    return len(keys), damaged


def _digest(turn: Mapping[str, Any] | str) -> str:
    """Return the hash of an answer's words, without docwell's additions: clients wrap, trim and remove them."""
    if isinstance(turn, str):
        return turn
    words = answer_in(str(turn.get("answer"))).split()
    return sha256(" ".join(words).encode("utf-8", "surrogatepass")).hexdigest()


def _documents(receipt: Receipt) -> set[str]:
    """Return the keys of the passages, the citations and the question's filter."""
    scope = receipt.request.get("filter") or {}
    named = {receipt.request.get("document"), scope.get("prefix"), *(scope.get("documents") or ())}
    cited = {citation.get("document") for citation in receipt.answer.get("citations") or ()}
    return {str(key) for key in named | cited | {document for _, document, _ in receipt.passages} if key}


def _key(principal: str, request_id: str) -> Row:
    return {"principal": principal, "request_id": request_id}


def _possible(principal: str, request_id: str) -> bool:
    return can_be_key(principal, _MAX_PRINCIPAL) and can_be_key(request_id, _MAX_REQUEST_ID)


def _receipt(row: Row) -> Receipt:
    try:
        unpacked = json.loads(zlib.decompress(row["body"]))
        fields_ = {"model_digest": None, "verdict": None, "comment": None, "fit": None, **row, **unpacked}
        fields_["comment"] = fields_["comment"] and zlib.decompress(fields_["comment"]).decode()
        fields_["created_at"] = float(fields_["created_at"])
        fields_["passages"] = tuple((id_, document, version) for id_, document, version in fields_["passages"])
        return Receipt(**{field.name: fields_[field.name] for field in fields(Receipt)})
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise Corrupt("a receipt cannot be read") from error
