"""Use case: keep answers, attach verdicts, and repeat a question to see what has changed since.

A receipt belongs to the principal that asked, while it may read every document that the answer came from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeVar

from docwell.answers import AnswerStatus, Mode, Receipt
from docwell.errors import NotFound
from docwell.identity import Principal
from docwell.ports import Catalogue, Receipts
from docwell.query.retrieval.scope import visible

_Read = TypeVar("_Read")
# Thresholds are in hundredths; another processor may change the seventh digit.
_FIT_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two runs of a question. A value of None means that the run had none.

    `what` is `model`, `model_digest`, `mode`, `partial`, `prompt_version`, `option NAME`, `document KEY`
    (versions), `passages KEY` (ids that only one run had), `order of passages`, `fit` if the gate refused a run;
    of the answer itself `status`, `fallback_reason`, `answer` or `citations`.
    """

    what: str
    then: Any
    now: Any


@dataclass(frozen=True, slots=True)
class ReceiptBook:
    """The receipts of all callers. A store of None keeps nothing.

    It looks again for a missing receipt after `late_s` seconds: some runtimes send an answer before they write its
    receipt.
    """

    store: Receipts | None
    late_s: float = 0.0
    sleep: Callable[[float], None] = time.sleep

    def keep(self, receipt: Receipt) -> None:
        """Store the receipt without the links of its citations: they open documents, and expire within minutes."""
        if self.store is not None:
            citations = [{**citation, "link": None} for citation in receipt.answer.get("citations") or ()]
            self.store.keep(replace(receipt, answer={**receipt.answer, "citations": citations}))

    def get(self, principal: Principal, request_id: str, catalogue: Catalogue) -> Receipt:
        """Return the receipt. Raises the same `NotFound` for none, another's, and documents out of reach."""
        store = self.store
        receipt = self._wait_for(lambda: store.get(principal.id, request_id)) if store else None
        documents = {document for _, document, _ in receipt.passages} if receipt else set[str]()
        if receipt is None or not visible(catalogue, principal, documents) >= documents:
            raise _no_receipt(request_id)
        return receipt

    def judge(self, principal: Principal, request_id: str, verdict: str, comment: str | None) -> bool:
        """Attach a verdict, good or bad; return whether it differs from the previous one.

        Raises the same `NotFound` for a missing receipt and another principal's.
        """
        store = self.store
        before = self._wait_for(lambda: store.judge(principal.id, request_id, verdict, comment)) if store else None
        if before is None:
            raise _no_receipt(request_id)
        return before != verdict

    def _wait_for(self, look: Callable[[], _Read]) -> _Read:
        if (value := look()) is None and self.late_s:
            self.sleep(self.late_s)
            return look()
        return value


def _no_receipt(request_id: str) -> NotFound:
    return NotFound(f"no receipt of request {request_id!r} is kept: ask again for a new one")


def quoted(receipt: Receipt) -> frozenset[str]:
    """Return the documents that the answer cites; for an interrupted answer, all documents of its passages."""
    if receipt.answer.get("status") in (AnswerStatus.ABANDONED, AnswerStatus.FAILED):
        return frozenset(document for _, document, _ in receipt.passages)
    return frozenset(citation["document"] for citation in receipt.answer.get("citations") or ())


def compare(then: Receipt, now: Receipt, live: Mapping[str, str]) -> tuple[Change, ...]:
    """Return the differences, causes first. `live` has today's versions of the documents of `then`.

    Times, tokens, costs and links differ each time, so the comparison leaves them out.
    """
    pairs = chain(_settings(then, now), _sources(then, now, live), _outcomes(then.answer, now.answer))
    return tuple(Change(what, was, is_now) for what, was, is_now in pairs if was != is_now)


def _settings(then: Receipt, now: Receipt) -> Iterator[tuple[str, Any, Any]]:
    yield "model", then.model, now.model
    if then.model_digest and now.model_digest:  # compare only digests that both hosts state
        yield "model_digest", then.model_digest, now.model_digest
    yield "mode", then.answer.get("mode", Mode.PASSAGES), now.answer.get("mode", Mode.PASSAGES)
    yield "partial", then.answer.get("partial", False), now.answer.get("partial", False)
    yield "prompt_version", then.prompt_version, now.prompt_version
    for name in sorted({*then.options, *now.options}):
        yield f"option {name}", then.options.get(name), now.options.get(name)


def _sources(then: Receipt, now: Receipt, live: Mapping[str, str]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the documents with their versions, and the passages of unchanged documents that only one run had.

    For a document that the new run did not read, use the live version.
    """
    versions = {document: version for _, document, version in then.passages}
    versions_now = {**live, **{document: version for _, document, version in now.passages}}
    for document, version in versions.items():
        yield f"document {document}", version, versions_now.get(document)
    changed = {document for document, version in versions.items() if version != versions_now.get(document)}
    was, is_now = ({id_: document for id_, document, _ in receipt.passages} for receipt in (then, now))
    for document in dict.fromkeys([*was.values(), *is_now.values()]):
        if document not in changed:
            gone = [id_ for id_ in was if was[id_] == document and id_ not in is_now]
            come = [id_ for id_ in is_now if is_now[id_] == document and id_ not in was]
            yield f"passages {document}", gone or None, come or None
    if not changed and was.keys() == is_now.keys():
        yield "order of passages", list(was), list(is_now)
    if then.gate_refused or now.gate_refused:  # any change of the index moves the fit a little
        fits = [None if fit is None else round(fit, _FIT_DIGITS) for fit in (then.fit, now.fit)]
        yield "fit", fits[0], fits[1]


def _outcomes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in ("status", "fallback_reason", "answer"):
        yield name, then.get(name), now.get(name)
    fields = ("marker", "document", "page", "quote")
    answers = [answer.get("citations") or () for answer in (then, now)]
    cited = [[{name: citation.get(name) for name in fields} for citation in citations] for citations in answers]
    yield "citations", cited[0], cited[1]
