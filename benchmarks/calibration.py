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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval import sets
from benchmarks.retrieval.index import CachedEmbedder, catalogue, indexed, new_index
from docwell.config import IngestLimits
from docwell.errors import ModelDamaged
from docwell.identity import Principal
from docwell.query.retrieval.ranking import JUDGED
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from infra.local.stack import MODEL_DIR
from infra.progress import CONSOLE, bar
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


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a set, and the document that it is about."""

    text: str
    key: str
    answerable: bool = True


@dataclass(frozen=True, slots=True)
class Material:
    """A set's files by key, and its questions."""

    files: Mapping[str, Path]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """The fit of one question in one scope."""

    set: str
    scope: str
    answerable: bool
    fit: float


def main() -> int:
    options = _arguments()
    if missing := [name for name in options.sets if not (EVALUATION / name).is_dir()]:
        print(f"no {', '.join(missing)} in {EVALUATION}: DOCWELL_EVAL names its folder", file=sys.stderr)
        return 2
    try:
        embedder = CachedEmbedder(options.model)
    except ModelDamaged as error:
        print(error.detail, file=sys.stderr)
        return 2
    materials = {name: load(name, options.n) for name in options.sets}
    measured = list(_measured(materials, embedder))
    report, chosen = Report("calibrate"), threshold(measured)
    report.add("least fit of a question that reaches the model", chosen, "")
    _add_shares(report, measured, chosen, "")
    for name in materials if len(materials) > 1 else ():
        rest_of_set = threshold([question for question in measured if question.set != name])
        report.add(f"{name} left out: least fit", rest_of_set, "")
        _add_shares(
            report, [question for question in measured if question.set == name], rest_of_set, " (left out)"
        )
    if options.n is None and set(options.sets) == set(SETS):
        write(embedder.name, chosen)
    else:
        CONSOLE.print("a part of the material: the calibration is not written")
    return report.finish()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--n", type=int, help="about as many questions of each set (default: all)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--model", type=Path, default=MODEL_DIR, help="a folder that `make model` wrote")
    return parser.parse_args()


def load(name: str, count: int | None) -> Material:
    """Return a set with about `count` of its questions, spread evenly. Drop questions without their file."""
    if name == "chunking":
        chunking = sets.chunking(EVALUATION)
        files, named = dict(chunking.files), [Question(question.text, question.key) for question in chunking.asked]
    else:
        folder = EVALUATION / name
        files = {f"{name}/{path.name}": path for path in sorted((folder / "pdf").glob("*.pdf"))}
        rows: list[dict[str, Any]] = json.loads((folder / _FILES[name]).read_text(encoding="utf-8"))
        named = [
            Question(row["question"], f"{name}/{row['doc'].removesuffix('.pdf')}.pdf", not row.get("unanswerable"))
            for row in rows
        ]
    named = [question for question in named if question.key in files]
    step = max(1.0, len(named) / (count or len(named)))
    return Material(files, tuple(named[int(i * step)] for i in range(int(len(named) / step))))


def scopes(
    question: Question, set_name: str, files: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, bool, Places]]:
    """Yield each scope to search for a question of the set `own`: its name, whether it answers, and its places."""
    article = _LANGUAGE.sub(".pdf", question.key)
    rest_of_set: list[str] = [key for key in files[set_name] if _LANGUAGE.sub(".pdf", key) != article]
    everywhere: Places = dict.fromkeys(files)
    yield "in the document", question.answerable, {set_name: [question.key]}
    yield "alone", question.answerable, {set_name: None}
    yield "mixed", question.answerable, everywhere
    if question.answerable:
        yield "alone, without its document", False, {set_name: rest_of_set}
        yield "mixed, without its document", False, everywhere | {set_name: rest_of_set}
        for name in files:
            if name != set_name:
                yield "in another set", False, {name: None}


def _measured(materials: Mapping[str, Material], embedder: CachedEmbedder) -> Iterator[Measured]:
    files = {name: list(material.files) for name, material in materials.items()}
    generations, chunks = dict[str, str](), dict[str, int]()
    with new_index(embedder.fingerprint) as index:
        for name, material in materials.items():
            CONSOLE.print(f"{name}: {len(material.files)} documents, {len(material.questions)} questions…")
            added = indexed(material.files, index, embedder, IngestLimits().chunk_tokens)
            generations, chunks = generations | added[0], chunks | added[1]
        retrieval = Retrieval(catalogue(generations), index)
        for name, material in materials.items():
            # A document without text answers nothing, whatever the threshold is.
            named = [question for question in material.questions if chunks[question.key]]
            vectors = embedder.embed_queries([question.text for question in named]).tolist()
            with bar(f"{name}: asking", len(named)) as step:
                for question, vector in zip(named, vectors, strict=True):
                    for scope, answerable, places in scopes(question, name, files):
                        fit = retrieval.search(Scope(_EVERYBODY, places), vector, JUDGED, question.text).fit
                        yield Measured(name, scope, answerable, -1.0 if fit is None else fit)
                    step()


def threshold(measured: Sequence[Measured]) -> float:
    """Return the highest fit, in hundredths, below which are at most 3% of each set's answers in each scope."""
    answers = [question for question in measured if question.answerable]
    return min(
        math.floor(100 * float(np.quantile(fits, _ALLOWED, method="lower"))) / 100
        for fits in _by_scope(answers).values()
    )


def _by_scope(measured: Sequence[Measured]) -> dict[tuple[str, str], list[float]]:
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for question in measured:
        groups[question.set, question.scope].append(question.fit)
    return groups


def _add_shares(report: Report, measured: Sequence[Measured], least: float, note: str) -> None:
    for answerable, kind, goal in ((True, "answerable", _ANSWERABLE_GOAL), (False, "unanswerable", None)):
        for (name, scope), fits in _by_scope(
            [question for question in measured if question.answerable is answerable]
        ).items():
            share = 100 * float(np.mean(np.array(fits) < least))
            report.add(f"{name}, {scope}: {kind} questions refused{note}", share, "%", goal)


def write(model: str, min_fit: float) -> None:
    """Set the gate in the model's calibration file; keep its other numbers."""
    path = CALIBRATIONS / f"{model.rpartition('/')[2].lower()}.json"
    numbers = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    numbers["gate"] = {"min_fit": min_fit}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    CONSOLE.print(f"{path.relative_to(ROOT)}: `make model` copies it to the model")


if __name__ == "__main__":
    sys.exit(main())
