"""Receipts on DynamoDB's own rules (moto, in process)."""

from __future__ import annotations

import itertools
import random
import string
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.receipts import DynamoReceipts, erase_receipts
from docwell.adapters.dynamodb.table import Row, Table
from docwell.answers import NOT_SUPPORTED, Receipt, answer_in
from docwell.errors import BadInput, Corrupt
from infra.local.names import RECEIPTS_SCHEMA

from .waiting import Clock

pytestmark = pytest.mark.integration
TABLE = "receipts"
DAY_S = 86_400
RECEIPT = Receipt(
    principal="key:a",
    request_id="request-7",
    created_at=1_000_000.123456,
    request={"question": "Wann? 日本 \ud800", "top_k": 5, "history": []},
    answer={"answer": "Zwei [1].", "citations": [{"marker": 1, "score": 0.1 + 0.2}], "cost": {"amount": 3e-9}},
    passages=(("p1", "a/é.pdf", '"etag"'), ("p2", "a/b.pdf", "v2")),
    prompt_version="prompt-1",
    model="small",
    model_digest=None,
    options={"num_ctx": 4096, "temperature": 0.0, "min_fit": 0.22},
    fit=0.1 + 0.2,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table() -> Iterator[Any]:
    with mock_aws():
        boto3.client("dynamodb").create_table(TableName=TABLE, **RECEIPTS_SCHEMA)
        yield boto3.resource("dynamodb").Table(TABLE)


@pytest.fixture
def receipts(table: Any, clock: Clock) -> DynamoReceipts:
    return DynamoReceipts(client("dynamodb"), TABLE, days=2, clock=clock)


@pytest.mark.parametrize("receipt", [RECEIPT, replace(RECEIPT, model_digest="sha256:1", verdict="good")])
def test_a_receipt_comes_back_as_it_was_kept(receipts: DynamoReceipts, receipt: Receipt) -> None:
    receipts.keep(receipt)
    assert receipts.get("key:a", "request-7") == receipt


def test_a_receipt_and_its_verdict_are_never_overwritten(receipts: DynamoReceipts) -> None:
    receipts.keep(RECEIPT)
    receipts.judge("key:a", "request-7", "bad", None)
    receipts.keep(replace(RECEIPT, answer={"answer": "Drei [1]."}))
    assert receipts.get("key:a", "request-7") == replace(RECEIPT, verdict="bad")


@pytest.mark.parametrize("request_id", ["", "x" * 1025, "\ud800"])
def test_an_id_that_cannot_be_a_key_has_no_receipt(receipts: DynamoReceipts, request_id: str) -> None:
    assert receipts.get("key:a", request_id) is None
    assert receipts.judge("key:a", request_id, "good", None) is None
    with pytest.raises(BadInput):
        receipts.keep(replace(RECEIPT, request_id=request_id))


def test_an_expired_receipt_is_gone_before_dynamodb_removes_it(
    receipts: DynamoReceipts, table: Any, clock: Clock
) -> None:
    receipts.keep(RECEIPT)
    clock.now += 2 * DAY_S - 1
    assert receipts.get("key:a", "request-7") is not None
    clock.now += 2
    assert receipts.get("key:a", "request-7") is None
    assert receipts.judge("key:a", "request-7", "good", "So it is") is None
    (item,) = table.scan()["Items"]
    assert item["expires_at"] == 1_000_000 + 2 * DAY_S
    assert "verdict" not in item


def test_a_verdict_is_kept_with_its_comment_and_a_later_one_takes_their_place(
    receipts: DynamoReceipts, table: Any
) -> None:
    assert receipts.judge("key:a", "request-7", "good", None) is None
    receipts.keep(RECEIPT)
    assert receipts.judge("key:a", "request-7", "good", None) == ""
    assert receipts.judge("key:a", "request-7", "bad", "März fehlt") == "good"
    assert receipts.get("key:a", "request-7") == replace(RECEIPT, verdict="bad", comment="März fehlt")
    (item,) = table.scan()["Items"]
    assert not isinstance(item["comment"], str)
    assert receipts.judge("key:a", "request-7", "bad", None) == "bad"
    assert receipts.get("key:a", "request-7") == replace(RECEIPT, verdict="bad")


def test_text_is_compressed_and_an_older_body_has_no_fit_and_a_damaged_one_is_corrupt(
    receipts: DynamoReceipts, table: Any
) -> None:
    receipts.keep(RECEIPT)
    (item,) = table.scan()["Items"]
    in_the_open = {name for name, value in item.items() if isinstance(value, str)}
    assert in_the_open == {"principal", "request_id", "prompt_version", "model"}
    older = zlib.decompress(item["body"].value).replace(b'"fit"', b'"of_no_field"')
    table.put_item(Item={**item, "body": zlib.compress(older)})
    assert receipts.get("key:a", "request-7") == replace(RECEIPT, fit=None)
    table.put_item(Item={**item, "body": b"not zlib"})
    with pytest.raises(Corrupt):
        receipts.get("key:a", "request-7")


def test_an_answer_that_does_not_compress_under_the_limit_is_refused_and_a_long_one_is_not(
    receipts: DynamoReceipts,
) -> None:
    receipts.keep(replace(RECEIPT, answer={"answer": "word " * 200_000}))
    found = receipts.get("key:a", "request-7")
    assert found is not None
    assert len(found.answer["answer"]) == 1_000_000
    noise = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=700_000))
    with pytest.raises(BadInput, match="over DynamoDB's limit"):
        receipts.keep(replace(RECEIPT, answer={"answer": noise}))
    # DynamoDB accepts a receipt just under the limit, with the longest possible names.
    longest = replace(
        RECEIPT, principal="k" * 2048, request_id="r" * 1024, model="m" * 9000, model_digest="d" * 9000
    )
    receipts.keep(replace(longest, answer={"answer": noise[:520_000]}))
    assert receipts.get("k" * 2048, "r" * 1024) is not None


@pytest.mark.parametrize("status", ["answered", "extractive", "abandoned", "failed"])
def test_an_erasure_finds_an_answer_in_the_history_of_later_questions(
    receipts: DynamoReceipts, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_many, moments = Table.delete_many, itertools.count()

    def delete_one(table: Table, keys: Sequence[Row]) -> None:
        delete_many(table, keys[:1])
        raise InterruptedError

    def keep(name: str, document: str, answer: str, *history: str, status: str = "answered") -> None:
        request = {"question": "q", "history": [{"question": "q", "answer": text} for text in history]}
        said = {"answer": answer, "status": status, "citations": []}
        passages = (("id", document, "v1"),)
        at = next(moments)
        receipts.keep(
            replace(RECEIPT, request_id=name, request=request, answer=said, passages=passages, created_at=at)
        )

    refusal = "The passages found do not answer this question."
    keep("1", "a.pdf", "Anna lives in Rome [1].", status=status)
    keep("2", "b.pdf", "In March.", " Anna lives\nin Rome [1].\n")  # as a client wraps it
    keep("0", "b.pdf", "In May.", "In March.")  # without the earlier turn
    marked = f"Bob lives{NOT_SUPPORTED} in Bonn [1]."  # words of the document itself
    keep("6", "a.pdf", marked, status=status)
    keep("7", "b.pdf", "In July.", answer_in(marked))
    keep("3", "a.pdf", refusal, status="refused")
    keep("4", "b.pdf", "In June.", refusal)
    keep("5", "b.pdf", "In July.", "Berta lives in Rome [1].")
    assert erase_receipts(client("dynamodb"), TABLE, ["a.pdf"], dry_run=True) == (6, [])
    later = receipts.get("key:a", "2")
    assert later is not None
    assert "Anna" not in str(later.request)
    # An interruption at any time leaves the answers that lead to the rest.
    monkeypatch.setattr(Table, "delete_many", delete_one)
    for _ in range(3):
        with pytest.raises(InterruptedError):
            erase_receipts(client("dynamodb"), TABLE, ["a.pdf"])
    monkeypatch.setattr(Table, "delete_many", delete_many)
    assert erase_receipts(client("dynamodb"), TABLE, ["a.pdf"]) == (3, [])
    assert [name for name in "01234567" if receipts.get("key:a", name)] == ["4", "5"]
    receipts.keep(replace(RECEIPT, request={"question": "q", "document": None, "filter": {"prefix": "c/"}}))
    erased = [erase_receipts(client("dynamodb"), TABLE, [], prefix=prefix)[0] for prefix in ("N", "c", "b.")]
    assert erased == [0, 1, 2]
