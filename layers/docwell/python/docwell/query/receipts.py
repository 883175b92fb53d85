"""Use case: keep answers, attach verdicts, and repeat a question to see what has changed since.

A receipt belongs to the principal that asked, while it may read every document that the answer came from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from docwell.answers import Receipt
from docwell.errors import BadInput, DocwellError, NotFound
from docwell.identity import Principal
from docwell.models import collection_of
from docwell.ports import Receipts

_Found = TypeVar("_Found")

VERDICTS = ("good", "bad")

# The fields of an answer itself, as against its causes.
_OUTCOMES = ("status", "fallback_reason", "rewritten_question", "answer")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two runs of a question. None means that a run had nothing there.

    `what` is `model`, `model_digest`, `prompt_version`, `option NAME`, `document KEY` (versions), `passages KEY`
    (ids that only one run had), `order of passages`; of the answer itself `status`, `fallback_reason`,
    `rewritten_question`, `answer` or `citations`.
    """

    what: str
    then: Any
    now: Any


@dataclass(frozen=True, slots=True)
class ReceiptBook:
    """The receipts of one caller after another. A store of None keeps nothing.

    A missing receipt is looked for again after `late_s` seconds: some runtimes send an answer before its receipt
    is written.
    """

    store: Receipts | None
    late_s: float = 0.0
    sleep: Callable[[float], None] = time.sleep

    def keep(self, receipt: Receipt) -> str | None:
        """Store the receipt without its links. Return the reason, fit for a log, if that fails.

        Raises nothing: a lost receipt does not lose its answer.
        """
        if self.store is None:
            return None
        try:
            self.store.keep(replace(receipt, answer=without_links(receipt.answer)))
        except DocwellError as error:
            return error.detail
        return None

    def get(self, principal: Principal, request_id: str) -> Receipt:
        """Return the receipt. Raises the same `NotFound` for none, another's, and documents now out of reach."""
        store = self.store
        found = self._wait_for(lambda: store.get(principal.id, request_id)) if store else None
        documents = (document for _, document, _ in found.passages) if found else ()
        if found is None or not all(principal.may_read(collection_of(document)) for document in documents):
            raise NotFound(f"no receipt of request {request_id!r} is kept")
        return found

    def judge(self, principal: Principal, request_id: str, verdict: str) -> bool:
        """Attach a verdict; False without a receipt of the request. Raises `BadInput`, `Unavailable`."""
        if verdict not in VERDICTS:
            raise BadInput(f"a verdict is one of: {', '.join(VERDICTS)}")
        store = self.store
        return store is not None and self._wait_for(lambda: store.judge(principal.id, request_id, verdict))

    def _wait_for(self, look: Callable[[], _Found]) -> _Found:
        found = look()
        if found or not self.late_s:
            return found
        self.sleep(self.late_s)
        return look()


def compare(then: Receipt, now: Receipt, live: Mapping[str, str | None]) -> tuple[Change, ...]:
    """Return the differences, causes first. `live` has today's versions of the documents of `then`.

    Times, tokens, costs and links differ each time and are left out.
    """
    return (*_causes(then, now, live), *_outcomes(then.answer, now.answer))


def without_links(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer without the links of its citations: they open documents, and expire within minutes."""
    citations = [{**citation, "link": None} for citation in answer.get("citations") or ()]
    return {**answer, "citations": citations}


def _causes(then: Receipt, now: Receipt, live: Mapping[str, str | None]) -> Iterable[Change]:
    yield from _differing([("model", then.model, now.model)])
    if then.model_digest and now.model_digest:  # a host that states no digest proves no change
        yield from _differing([("model_digest", then.model_digest, now.model_digest)])
    yield from _differing([("prompt_version", then.prompt_version, now.prompt_version)])
    names = sorted({*then.options, *now.options})
    yield from _differing((f"option {name}", then.options.get(name), now.options.get(name)) for name in names)
    documents = list(_documents(then, now, live))
    yield from documents
    passages = list(_passages(then, now, {change.what.removeprefix("document ") for change in documents}))
    yield from passages
    if not documents and not passages:
        was, is_now = ([identifier for identifier, _, _ in receipt.passages] for receipt in (then, now))
        yield from _differing([("order of passages", was, is_now)])


def _documents(then: Receipt, now: Receipt, live: Mapping[str, str | None]) -> Iterable[Change]:
    """Yield documents that were replaced or removed: by the versions of the new run, else by the live ones."""
    read_now = {document: version for _, document, version in now.passages}
    read_then = {document: version for _, document, version in then.passages}
    for document, version in read_then.items():
        yield from _differing([(f"document {document}", version, read_now.get(document, live.get(document)))])


def _passages(then: Receipt, now: Receipt, changed: set[str]) -> Iterable[Change]:
    """Yield, for each unchanged document, the ids of the passages that only one of the runs had."""
    of_then, of_now = _by_document(then), _by_document(now)
    for document in dict.fromkeys([*of_then, *of_now]):
        if document not in changed:
            gone = [one for one in of_then.get(document, ()) if one not in of_now.get(document, ())]
            come = [one for one in of_now.get(document, ()) if one not in of_then.get(document, ())]
            yield from _differing([(f"passages {document}", gone or None, come or None)])


def _by_document(receipt: Receipt) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for identifier, document, _ in receipt.passages:
        found.setdefault(document, []).append(identifier)
    return found


def _outcomes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[Change]:
    yield from _differing((name, then.get(name), now.get(name)) for name in _OUTCOMES)
    yield from _differing([("citations", _citations(then), _citations(now))])


def _citations(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    wanted = ("marker", "document", "page", "quote")
    return [{name: citation.get(name) for name in wanted} for citation in answer.get("citations") or ()]


def _differing(pairs: Iterable[tuple[str, Any, Any]]) -> Iterable[Change]:
    return (Change(what, then, now) for what, then, now in pairs if then != now)
