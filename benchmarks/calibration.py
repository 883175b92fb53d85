"""``make calibrate``: choose the gate's threshold for the embedding model, and count right and wrong refusals.

docwell indexes the evaluation sets and searches for each question where it is answered, and where it is not: with
its document left out, and in another set. No model answers. The threshold is the highest at which at most 3% of
each set's answerable questions are refused in each scope. For each set it is also chosen without that set, and
measured on it. The result goes to `layers/embedder/calibration`, from where `make model` copies it.
"""

import argparse
import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.retrieval import sets
from benchmarks.retrieval.index import CachedEmbedder, catalogue, indexed, new_index
from docwell.errors import ModelDamaged
from docwell.identity import Principal
from docwell.query.retrieval.ranking import JUDGED
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from infra.local.stack import MODEL_DIR
from infra.progress import bar
from infra.report import EVALUATION, ROOT, Report

CALIBRATIONS = ROOT / "layers" / "embedder" / "calibration"
_FILES = {
    "xquad": "questions_en_dev.json",
    "mmlongbench": "questions_dev.json",
    "financebench": "questions_dev.json",
    "filings2": "questions_dev2.json",
}
SETS = (*_FILES, "chunking")
_EVERYBODY = Principal("key:benchmark", collections=None)
# Less than the 5% of the goal: other documents differ more than these sets do.
_ALLOWED = 0.03
_ANSWERABLE_GOAL = "<= 5"
# xq00_de.pdf is a translation of xq00.pdf, and answers the same questions.
_LANGUAGE = re.compile(r"_[a-z]{2}\.pdf$")

# Collections, each with some of its documents; None for all.
Places = dict[str, list[str] | None]


class Question(NamedTuple):
    """A question of a set, and the document that it is about."""

    text: str
    key: str
    answerable: bool = True


class Fit(NamedTuple):
    """The fit of one question in one scope."""

    set: str
    scope: str
    answerable: bool
    fit: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--n", type=int, help="about as many questions of each set (default: all); writes nothing")
    options = parser.parse_args()
    if missing := [name for name in SETS if not (EVALUATION / name).is_dir()]:
        print(f"no {', '.join(missing)} in {EVALUATION}: DOCWELL_EVAL names its folder", file=sys.stderr)
        return 2
    try:
        embedder = CachedEmbedder(MODEL_DIR)
    except ModelDamaged as error:
        print(error.detail, file=sys.stderr)
        return 2
    fits = list(_fits(embedder, options.n))
    report, chosen = Report("calibrate"), threshold(fits)
    report.add("least fit of a question that reaches the model", chosen, "")
    _add_shares(report, fits, chosen, "")
    for name in SETS:
        without = threshold([fit for fit in fits if fit.set != name])
        report.add(f"{name} left out: least fit", without, "")
        _add_shares(report, [fit for fit in fits if fit.set == name], without, " (left out)")
    if options.n is None:
        write(embedder.name, chosen)
    return report.finish()


def _load(name: str, count: int | None) -> tuple[dict[str, Path], list[Question]]:
    """Return a set's files by key, and about `count` of its questions, spread evenly."""
    if name == "chunking":
        chunking = sets.chunking(EVALUATION)
        files = dict(chunking.files)
        questions = [Question(question.text, question.key) for question in chunking.asked]
    else:
        folder = EVALUATION / name
        files = {f"{name}/{path.name}": path for path in sorted((folder / "pdf").glob("*.pdf"))}
        questions = [
            Question(row["question"], f"{name}/{row['doc'].removesuffix('.pdf')}.pdf", not row.get("unanswerable"))
            for row in json.loads((folder / _FILES[name]).read_text(encoding="utf-8"))
        ]
    questions = [question for question in questions if question.key in files]
    return files, questions[:: max(1, round(len(questions) / (count or len(questions))))]


def scopes(
    question: Question, home: str, files: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, bool, Places]]:
    """Yield each scope of a question of the set `home`: its name, whether it answers, and its places."""
    article = _LANGUAGE.sub(".pdf", question.key)
    elsewhere: list[str] = [key for key in files[home] if _LANGUAGE.sub(".pdf", key) != article]
    everywhere: Places = dict.fromkeys(files)
    yield "in the document", question.answerable, {home: [question.key]}
    yield "alone", question.answerable, {home: None}
    yield "mixed", question.answerable, everywhere
    if question.answerable:
        yield "alone, without its document", False, {home: elsewhere}
        yield "mixed, without its document", False, everywhere | {home: elsewhere}
        for name in files.keys() - {home}:
            yield "in another set", False, {name: None}


def _fits(embedder: CachedEmbedder, count: int | None) -> Iterator[Fit]:
    material = {name: _load(name, count) for name in SETS}
    keys = {name: list(files) for name, (files, _) in material.items()}
    generations, chunks = dict[str, str](), dict[str, int]()
    with new_index(embedder.fingerprint) as index:
        for files, _ in material.values():
            added = indexed(files, index, embedder)
            generations, chunks = generations | added[0], chunks | added[1]
        retrieval = Retrieval(catalogue(generations), index)
        for name, (_, questions) in material.items():
            # A document without text answers nothing, whatever the threshold is.
            questions_with_text = [question for question in questions if chunks[question.key]]
            vectors = embedder.embed_queries([question.text for question in questions_with_text]).tolist()
            with bar(f"{name}: asking", len(questions_with_text)) as step:
                for question, vector in zip(questions_with_text, vectors, strict=True):
                    for scope, answerable, places in scopes(question, name, keys):
                        fit = retrieval.search(Scope(_EVERYBODY, places), vector, JUDGED, question.text).fit
                        yield Fit(name, scope, answerable, -1.0 if fit is None else fit)
                    step()


def threshold(fits: Sequence[Fit]) -> float:
    """Return the highest fit, in hundredths, below which are at most 3% of each set's answers in each scope."""
    groups = _by_scope(fits, answerable=True).values()
    return min(math.floor(100 * float(np.quantile(group, _ALLOWED, method="lower"))) / 100 for group in groups)


def _by_scope(fits: Sequence[Fit], *, answerable: bool) -> dict[tuple[str, str], list[float]]:
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for fit in fits:
        if fit.answerable is answerable:
            groups[fit.set, fit.scope].append(fit.fit)
    return groups


def _add_shares(report: Report, fits: Sequence[Fit], least: float, note: str) -> None:
    for answerable, kind, goal in ((True, "answerable", _ANSWERABLE_GOAL), (False, "unanswerable", None)):
        for (name, scope), group in _by_scope(fits, answerable=answerable).items():
            share = 100 * float(np.mean(np.array(group) < least))
            report.add(f"{name}, {scope}: {kind} questions refused{note}", share, "%", goal)


def write(model: str, min_fit: float) -> None:
    """Set the gate in the model's calibration file, which may have other numbers."""
    path = CALIBRATIONS / f"{model.rpartition('/')[2].lower()}.json"
    numbers = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    numbers["gate"] = {"min_fit": min_fit}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    print(f"{path}: `make model` copies it to the model")


if __name__ == "__main__":
    sys.exit(main())
