"""Judges one answer against the documents and the truth."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers.questions import Kind, Question, page_texts, says, stands_verbatim
from benchmarks.doors import Seen
from docwell.config import QueryLimits

_MARKER = re.compile(r"\[(\d{1,3})\]")
_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?")
# A host that reads less than this share of the prompt has cut it (docs/answers.md, "How prompts fit").
_READ_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Indexed:
    """A document in the index: its file, and the version that was uploaded."""

    path: Path
    version: str


@dataclass(frozen=True, slots=True)
class Judged:
    """One question, its answer, and the judgement. `status` is the answer's, or `failed`.

    `markers` counts the numbers in the answer or among the citations; `resolved` counts those in both that lead
    to a page of an indexed document in that version. `cites_answer` and `has_truth` are None where they do not
    apply. `estimated_tokens` is docwell's own count of the prompt. `passages` are the texts that the model read,
    and `model_text` is the stream before the checks: `replayed` where the model wrote it in an earlier run.
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
    model_text: str = ""
    passages: tuple[str, ...] = ()
    replayed: bool = False

    @property
    def truncated(self) -> bool:
        """Whether the host has cut the prompt. Ollama cuts what exceeds the context, to about half of it."""
        estimated = self.estimated_tokens or 0
        return estimated > QueryLimits().num_ctx / 2 and self.prompt_tokens < _READ_SHARE * estimated

    def as_json(self) -> dict[str, Any]:
        fields = asdict(self)
        return {**fields.pop("question"), **fields}


def judge(question: Question, seen: Seen, index: Mapping[str, Indexed]) -> Judged:
    body, model_text, passages = seen.body, "", []
    if seen.events:
        body = seen.events[-1][1]
        model_text = "".join(data["text"] for name, data in seen.events if name == "token")
        passages = [one["text"] for name, data in seen.events if name == "passages" for one in data["passages"]]
    if seen.status != 200 or not isinstance(body, dict):
        problem = body.get("type") if isinstance(body, dict) else seen.broken
        fault = f"failed: {seen.status} {problem}"
        return Judged(question, "failed", seen.status, seen.seconds, faults=(fault,))
    text, status, citations = str(body["answer"]), str(body["status"]), tuple(body["citations"])
    compared = status == "answered" and question.answerable
    cites_answer = any(_holds_answer(question, one, index) for one in citations) if compared else None
    said = {int(number) for number in _MARKER.findall(text)}
    everything = said | {one["marker"] for one in citations}
    resolved = said & {one["marker"] for one in citations if _page_of(one, index) is not None}
    verbatim = [stands_verbatim(one["quote"], _page_of(one, index) or "") for one in citations]
    sentences, usage = body.get("sentences") or [], body["usage"]
    checks = {
        f"markers that lead nowhere: {sorted(everything - resolved)}": everything != resolved,
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
        resolved=len(resolved),
        verbatim=sum(verbatim),
        cites_answer=cites_answer,
        has_truth=_has_truth(question, text) if compared else None,
        sentences=len(sentences),
        unsupported=sum(not one["supported"] for one in sentences),
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        estimated_tokens=usage.get("estimated_prompt_tokens"),
        faults=tuple(what for what, wrong in checks.items() if wrong),
        model_text=model_text,
        passages=tuple(passages),
    )


def _page_of(citation: Mapping[str, Any], index: Mapping[str, Indexed]) -> str | None:
    """Return the text of the cited page; None where there is no such page of that version of the document."""
    document = index.get(citation["document"])
    if document is None or citation["version"] != document.version:
        return None
    pages, number = page_texts(document.path), citation["page"]
    return pages[number - 1] if 1 <= number <= len(pages) else None


def _holds_answer(question: Question, citation: Mapping[str, Any], index: Mapping[str, Indexed]) -> bool:
    """Whether the cited page has an article's answer, or is a page of the evidence."""
    page = _page_of(citation, index)
    if citation["document"] != question.key or page is None:
        return False
    return says(page, question.truth) if question.kind is Kind.ARTICLE else citation["page"] in question.pages


def _has_truth(question: Question, text: str) -> bool:
    """Whether the answer has the truth's words or, for a filing whose truth has figures, one of them."""
    figures = {figure.replace(",", "") for figure in _FIGURE.findall(question.truth)}
    plain = _MARKER.sub("", text)
    if question.kind is Kind.FILING and figures:
        return bool(figures & {figure.replace(",", "") for figure in _FIGURE.findall(plain)})
    return says(plain, question.truth)
