"""One answer held against the documents and the truth. Pure, but for reading the pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers.pages import page_texts, says, stands_verbatim
from benchmarks.answers.questions import Kind, Question
from benchmarks.doors import Seen

_MARKER = re.compile(r"\[(\d{1,3})\]")
_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?")
# A host that read less than this share of what it was sent cut it (docs/answers.md, "The prompt fits").
_READ_SHARE = 0.9
_OK = 200


@dataclass(frozen=True, slots=True)
class Indexed:
    """A document in the index: its file, and the version that was uploaded."""

    path: Path
    version: str


@dataclass(frozen=True, slots=True)
class Judged:
    """One question, what came back, and what is to be said of it. `status` is the answer's, or `failed`.

    `markers` counts the numbers that stand in the answer or among the citations, `resolved` those that stand
    in both and lead to a page of a document that is indexed in that version. `cites_answer` and
    `has_truth` are None where they are not asked for. `estimated_tokens` is docwell's own count of the prompt.
    """

    question: Question
    status: str
    http: int
    seconds: float
    answer: str = ""
    citations: tuple[Mapping[str, Any], ...] = ()
    markers: int = 0
    resolved: int = 0
    verbatim: int = 0
    cites_answer: bool | None = None
    has_truth: bool | None = None
    sentences: int = 0
    unsupported: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated_tokens: int | None = None
    faults: tuple[str, ...] = ()
    # The model's text as it was streamed, before it was checked; empty where it refused.
    model_text: str = ""

    @property
    def truncated(self) -> bool:
        """Whether the model read too little of what it was sent."""
        return self.estimated_tokens is not None and self.prompt_tokens < _READ_SHARE * self.estimated_tokens

    def as_json(self) -> dict[str, Any]:
        """For the file with one line a question."""
        fields = asdict(self)
        return {**fields.pop("question"), **fields}


def judge(question: Question, seen: Seen, index: Mapping[str, Indexed]) -> Judged:
    """Hold an answer against the pages and the truth."""
    body, said_first = _streamed(seen)
    if seen.status != _OK or not isinstance(body, dict):
        problem = body.get("type") if isinstance(body, dict) else seen.broken
        fault = f"failed: {seen.status} {problem}"
        return Judged(question, "failed", seen.status, seen.seconds, faults=(fault,))
    text, status, citations = str(body["answer"]), str(body["status"]), tuple(body["citations"])
    compared = status == "answered" and question.answerable
    cites_answer = any(_holds_answer(question, one, index) for one in citations) if compared else None
    cited = {one["marker"] for one in citations if _leads_somewhere(one, index)}
    said = {int(number) for number in _MARKER.findall(text)}
    everything = said | {one["marker"] for one in citations}
    verbatim = [_is_verbatim(one, index) for one in citations]
    sentences, usage = body.get("sentences") or [], body["usage"]
    checks = {
        f"markers that lead nowhere: {sorted(everything - (said & cited))}": everything != said & cited,
        "a quote does not stand on its page": not all(verbatim),
        "no cited page holds the answer": cites_answer is False,
        f"wrongly {status}": question.answerable and status != "answered",
        f"{status}, and the documents do not say it": not question.answerable and status != "refused",
    }
    return Judged(
        question=question,
        status=status,
        http=seen.status,
        seconds=seen.seconds,
        answer=text,
        citations=citations,
        markers=len(everything),
        resolved=len(said & cited),
        verbatim=sum(verbatim),
        cites_answer=cites_answer,
        has_truth=_has_truth(question, text) if compared else None,
        sentences=len(sentences),
        unsupported=sum(not one["supported"] for one in sentences),
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        estimated_tokens=usage.get("estimated_prompt_tokens"),
        faults=tuple(what for what, wrong in checks.items() if wrong),
        model_text=said_first,
    )


def _streamed(seen: Seen) -> tuple[Any, str]:
    """The whole answer of a stream, or its problem, and the tokens that came before; a body as it is."""
    if not seen.events:
        return seen.body, ""
    tokens = "".join(event.data["text"] for event in seen.events if event.name == "token")
    return seen.events[-1].data, tokens


def _leads_somewhere(citation: Mapping[str, Any], index: Mapping[str, Indexed]) -> bool:
    """Whether there is such a page of such a version of such a document."""
    document = index.get(citation["document"])
    return (
        document is not None
        and citation["version"] == document.version
        and 1 <= citation["page"] <= len(page_texts(document.path))
    )


def _is_verbatim(citation: Mapping[str, Any], index: Mapping[str, Indexed]) -> bool:
    return _leads_somewhere(citation, index) and stands_verbatim(citation["quote"], _page_of(citation, index))


def _holds_answer(question: Question, citation: Mapping[str, Any], index: Mapping[str, Indexed]) -> bool:
    """An article: the page holds the answer's words. A filing: it is a page of the evidence."""
    if citation["document"] != question.key or not _leads_somewhere(citation, index):
        return False
    if question.kind is Kind.FILING:
        return citation["page"] in question.pages
    return says(_page_of(citation, index), question.truth)


def _page_of(citation: Mapping[str, Any], index: Mapping[str, Indexed]) -> str:
    number: int = citation["page"]
    return page_texts(index[citation["document"]].path)[number - 1]


def _has_truth(question: Question, text: str) -> bool:
    """An article: its answer's words. A filing: any figure of the truth, or the truth itself where it has none."""
    figures = {figure.replace(",", "") for figure in _FIGURE.findall(question.truth)}
    if question.kind is Kind.FILING and figures:
        return bool(figures & {figure.replace(",", "") for figure in _FIGURE.findall(_MARKER.sub("", text))})
    return says(_MARKER.sub("", text), question.truth)
