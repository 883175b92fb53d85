"""Count the right answers that checking removes or marks, and the wrong ones that it passes."""

import json
import random
from collections.abc import Iterator, Sequence

from benchmarks.claims.cases import Case, cases, passage
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.config import QueryLimits
from docwell.query.checking.check import check
from docwell.query.checking.mentions import mentions
from docwell.query.checking.sentence_mentions import stated
from docwell.query.checking.support import MeaningScale
from infra.local.stack import MODEL_DIR
from infra.report import EVALUATION, Report

# The checks were written with the first of these in view; of the second, only its counts were looked at.
_HALVES = {"untouched": (None, None), "developed": ("<= 2", "<= 6")}
# An article's question comes with this many paragraphs of other articles.
_OTHERS = 3
_SEED = 7


class _Checker:
    def __init__(self) -> None:
        self._embedder = OnnxEmbedder(MODEL_DIR, 0, session_opener("onnxruntime"), for_questions=True)

    def passes(self, case: Case) -> bool:
        """Return whether an answer reaches the reader without a mark."""
        grounded, sentences = check(
            case.answer, case.passages, case.question, self._cosines, QueryLimits().min_support, MeaningScale()
        )
        return grounded is not None and all(sentence.supported for sentence in sentences)

    def _cosines(self, one: Sequence[str], other: Sequence[str]) -> list[list[float]]:
        vectors = self._embedder.embed_queries([*one, *other])
        cosines: list[list[float]] = (vectors[: len(one)] @ vectors[len(one) :].T).tolist()
        return cosines


def add_claims(report: Report, *, listed: bool = False) -> None:
    """Add both errors on answers written by hand and on figures of articles; with `listed`, print the errors."""
    checker = _Checker()
    for half, goals in _HALVES.items():
        _add(report, checker, f"of the {half} half", cases(half), goals, listed=listed and half == "developed")
    _add(report, checker, "of bare figures of articles", list(_figures_of_articles()), (None, None), listed=listed)


def _add(
    report: Report,
    checker: _Checker,
    what: str,
    asked: Sequence[Case],
    goals: tuple[str | None, str | None],
    *,
    listed: bool,
) -> None:
    passed = [checker.passes(case) for case in asked]
    for case, through in zip(asked, passed, strict=True):
        if listed and through != case.right:
            print(f"{'removed' if case.right else 'passed'}: {case.question} -> {case.answer}")
    removed = [not whole for case, whole in zip(asked, passed, strict=True) if case.right]
    let_by = [whole for case, whole in zip(asked, passed, strict=True) if not case.right]
    report.add(f"wrong answers passed, {what} ({len(let_by)})", 100 * sum(let_by) / len(let_by), "%", goals[1])
    report.add(f"right answers removed, {what} ({len(removed)})", 100 * sum(removed) / len(removed), "%", goals[0])


def _figures_of_articles() -> Iterator[Case]:
    """Yield each answer of an article that has a figure, and the same with another figure of its paragraph."""
    draw = random.Random(_SEED)
    questions = json.loads((EVALUATION / "xquad" / "questions_en_dev.json").read_text(encoding="utf-8"))
    paragraphs = list(dict.fromkeys(question["context"] for question in questions))
    for question in questions:
        right, context = question["answer"], question["context"]
        figures = [one for one in stated(right) if not one.is_grammar]
        if not figures:
            continue
        texts = [context, *draw.sample([text for text in paragraphs if text != context], _OTHERS)]
        given = tuple(passage(text, number) for number, text in enumerate(texts))
        yield Case("articles", given, question["question"], f"{right} [1].", "figure", right=True)
        known = {form for figure in figures for form in figure.figure.forms}
        alike = [
            other for other in mentions(context) if other.is_date == figures[0].is_date and not other.is_grammar
        ]
        others = [other.figure.written for other in alike if known.isdisjoint(other.figure.forms)]
        if others:
            wrong = right.replace(figures[0].figure.written, draw.choice(others), 1)
            yield Case("articles", given, question["question"], f"{wrong} [1].", "figure", right=False)
