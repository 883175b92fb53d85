"""Receipts: their readers, and the changes that a second run shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from docwell.answers import Receipt
from docwell.errors import NotFound
from docwell.identity import Principal
from docwell.query.receipts import Change, ReceiptBook, compare
from tests.unit.cases import rows
from tests.unit.fakes import FakeLedger
from tests.unit.query.query_fakes import FakeReceipts

READER = Principal("key:a", frozenset({"handbooks"}))
ANSWER: dict[str, Any] = rows(__file__, "told_answers")[0]
THEN = Receipt(
    principal="key:a",
    request_id="request-7",
    created_at=1_000_000.0,
    request={"question": "When?"},
    answer=ANSWER,
    passages=(("p1", "handbooks/a.pdf", "v1"), ("p2", "handbooks/a.pdf", "v1"), ("p3", "handbooks/b.pdf", "v1")),
    prompt_version="prompt-1",
    model="small",
    model_digest="sha256:1",
    options={"num_ctx": 4096, "temperature": 0},
)
ID = (THEN.principal, THEN.request_id)
LIVE = {"handbooks/a.pdf": "v1", "handbooks/b.pdf": "v1"}


def changes(now: Receipt, live: Mapping[str, str] = LIVE) -> list[Change]:
    return list(compare(THEN, now, live))


def test_the_same_run_again_changes_nothing_whatever_its_times_and_links() -> None:
    citation = {**ANSWER["citations"][0], "link": None}
    again = replace(
        THEN,
        request_id="request-8",
        created_at=2_000_000.0,
        answer={**ANSWER, "citations": [citation], "timings_ms": {"total": 5.0}, "request_id": "request-8"},
    )
    assert changes(again) == []


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (replace(THEN, model="large"), Change("model", "small", "large")),
        (replace(THEN, model_digest="sha256:2"), Change("model_digest", "sha256:1", "sha256:2")),
        (replace(THEN, answer={**ANSWER, "partial": True}), Change("partial", False, True)),
        (replace(THEN, prompt_version="prompt-2"), Change("prompt_version", "prompt-1", "prompt-2")),
        (replace(THEN, options={"num_ctx": 8192, "temperature": 0}), Change("option num_ctx", 4096, 8192)),
        (replace(THEN, options={"num_ctx": 4096}), Change("option temperature", 0, None)),
        (replace(THEN, answer={**ANSWER, "status": "refused"}), Change("status", "answered", "refused")),
        (replace(THEN, answer={**ANSWER, "answer": "Ten."}), Change("answer", "Five minutes [1].", "Ten.")),
    ],
)
def test_each_part_that_differs_is_named_with_both_sides(now: Receipt, expected: Change) -> None:
    assert changes(now) == [expected]


def test_other_citations_are_shown_without_what_changes_each_time() -> None:
    citation = {**ANSWER["citations"][0], "page": 10, "score": 0.5}
    (change,) = changes(replace(THEN, answer={**ANSWER, "citations": [citation]}))
    assert change.what == "citations"
    assert change.now == [{"marker": 1, "document": "handbooks/a.pdf", "page": 10, "quote": "five minutes"}]


def test_a_document_that_was_removed_is_told_once_and_not_by_its_passages() -> None:
    now = replace(THEN, passages=THEN.passages[:2])
    assert changes(now, {"handbooks/a.pdf": "v1"}) == [Change("document handbooks/b.pdf", "v1", None)]


def test_a_document_that_was_replaced_is_told_by_the_version_that_was_read() -> None:
    now = replace(THEN, passages=(*THEN.passages[:2], ("p9", "handbooks/b.pdf", "v2")))
    assert changes(now, LIVE | {"handbooks/b.pdf": "v2"}) == [Change("document handbooks/b.pdf", "v1", "v2")]


def test_passages_that_come_and_go_are_told_by_document() -> None:
    now = replace(THEN, passages=(THEN.passages[0], ("p4", "handbooks/c.pdf", "v1"), THEN.passages[2]))
    assert changes(now) == [
        Change("passages handbooks/a.pdf", ["p2"], None),
        Change("passages handbooks/c.pdf", None, ["p4"]),
    ]


def gated(fit: float | None, min_fit: float = 0.22) -> Receipt:
    return replace(THEN, options={**THEN.options, "min_fit": min_fit}, fit=fit)


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (gated(0.1834), gated(0.3512), [Change("fit", 0.183, 0.351)]),
        (gated(0.3512), gated(0.1834), [Change("fit", 0.351, 0.183)]),
        (gated(0.1834), gated(0.1), [Change("fit", 0.183, 0.1)]),
        (gated(0.1834), gated(None), [Change("fit", 0.183, None)]),
        (gated(0.2), gated(0.2, 0.1), [Change("option min_fit", 0.22, 0.1)]),
        (gated(0.1834), gated(0.1834 + 1e-7), []),
        (gated(0.3), gated(0.4), []),
        (gated(None), gated(0.4), []),
    ],
    ids=["then", "now", "both", "no passage", "threshold", "noise", "neither", "no passage then"],
)
def test_the_fit_is_a_change_where_the_gate_refused_a_run(
    then: Receipt, now: Receipt, expected: list[Change]
) -> None:
    assert list(compare(then, now, LIVE)) == expected


def test_a_kept_receipt_has_no_links_and_the_answer_keeps_its_own() -> None:
    store = FakeReceipts()
    ReceiptBook(store).keep(THEN)
    kept = store.kept[ID]
    assert kept.answer["citations"][0]["link"] is None
    assert kept.answer["answer"] == ANSWER["answer"]
    assert ANSWER["citations"][0]["link"]


def test_without_a_store_nothing_is_kept_found_or_judged() -> None:
    book = ReceiptBook(None)
    book.keep(THEN)
    with pytest.raises(NotFound):
        book.judge(READER, "request-7", "good", None)
    with pytest.raises(NotFound):
        book.get(READER, "request-7", FakeLedger())


@pytest.mark.parametrize(
    "principal",
    [
        Principal("key:b", None),
        Principal("key:a", frozenset({"minutes"})),
        Principal("key:a"),
    ],
    ids=["another's", "of a collection that is out of reach now", "with no collection left"],
)
def test_a_receipt_that_is_not_to_be_seen_is_as_if_there_were_none(principal: Principal) -> None:
    book = ReceiptBook(FakeReceipts({ID: THEN}))
    with pytest.raises(NotFound) as hidden:
        book.get(principal, "request-7", FakeLedger())
    with pytest.raises(NotFound) as absent:
        ReceiptBook(FakeReceipts()).get(principal, "request-7", FakeLedger())
    assert hidden.value.detail == absent.value.detail


def test_a_verdict_goes_to_the_callers_own_receipt() -> None:
    store = FakeReceipts({ID: THEN})
    book = ReceiptBook(store)
    assert book.judge(READER, "request-7", "bad", None)
    assert not book.judge(READER, "request-7", "bad", "The wrong page")
    assert store.kept[ID] == replace(THEN, verdict="bad", comment="The wrong page")
    with pytest.raises(NotFound):
        book.judge(Principal("key:b", None), "request-7", "good", None)
    assert store.kept[ID].verdict == "bad"


def test_a_receipt_that_is_being_written_is_waited_for() -> None:
    store = FakeReceipts()
    book = ReceiptBook(store, 0.2, sleep=lambda _: store.keep(THEN))
    assert book.get(READER, "request-7", FakeLedger()) == THEN
    store.kept.clear()
    assert book.judge(READER, "request-7", "good", None)
    assert store.kept[ID].verdict == "good"
