"""Choose the gate's threshold for an embedding model: the least fit of a question that reaches the language model.

Ask each question in scopes with its answer, and in scopes without it: without its document, and in another set.
The threshold is the highest that refuses at most 3 % of each set's answerable questions in each scope. Each set is
measured with the threshold that the remaining sets choose.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.retrieval.asking import Asker
from benchmarks.retrieval.sets import MIXED, EvaluationSet, Question
from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.ports import Places
from infra.report import ROOT, Report

CALIBRATIONS = ROOT / "layers" / "embedder" / "calibration"
# Below the goal of 5 %: new documents differ more than these sets do.
_ALLOWED = 0.03
# xq00_de.pdf is a translation of xq00.pdf, and answers the same questions.
_LANGUAGE = re.compile(r"_[a-z]{2}\.pdf$")
# The fits of the questions of a set and a scope, and whether the scope has their answers.
Fits = dict[tuple[str, str, bool], list[float]]


def choose_gate(asker: Asker, sets: Sequence[EvaluationSet], model: Path, *, is_sample: bool) -> int:
    """Report the threshold and the shares of refused questions; write it unless the questions are a sample."""
    fits: Fits = defaultdict(list)
    for material in sets:
        for question, vector in asker.with_vectors(material):
            for scope, answerable, places in _scopes(asker, material, sets, question):
                fits[material.name, scope, answerable].append(asker.fit(question, vector, places))
    report, chosen = Report("calibrate"), threshold(fits)
    report.add("least fit of a question that reaches the model", chosen, "")
    for (name, scope, answerable), group in fits.items():
        without = threshold({key: values for key, values in fits.items() if key[0] != name} or fits)
        share = 100 * float(np.mean(np.array(group) < without))
        kind, goal = ("answerable", "<= 5") if answerable else ("unanswerable", None)
        report.add(f"{name}, {scope}: {kind} questions refused at {without}, chosen without it", share, "%", goal)
    if not is_sample:
        _write(ModelManifest.read(model).name, chosen)
    return report.finish()


def _scopes(
    asker: Asker, material: EvaluationSet, sets: Sequence[EvaluationSet], question: Question
) -> Iterator[tuple[str, bool, Places]]:
    """Yield each scope of a question: its name, whether it has the answer, and its places."""
    for scope in asker.scopes(material):
        yield scope, True, asker.places(question, scope)
    article = _LANGUAGE.sub(".pdf", question.key)
    absent = [key for key in question.among or material.files if _LANGUAGE.sub(".pdf", key) != article]
    if absent:
        yield "without its document", False, {material.collection: absent}
        if MIXED in asker.scopes(material):
            yield "mixed, without its document", False, {**dict.fromkeys(asker.mixed), material.collection: absent}
    for collection in {part.collection for part in sets} - {material.collection}:
        yield "in another set", False, {collection: None}


def threshold(fits: Mapping[tuple[str, str, bool], Sequence[float]]) -> float:
    """Return the highest fit, in hundredths, that refuses at most 3 % of the answers of each set and scope."""
    groups = [group for (_, _, answerable), group in fits.items() if answerable]
    return min(math.floor(100 * float(np.quantile(group, _ALLOWED, method="lower"))) / 100 for group in groups)


def _write(model: str, min_fit: float) -> None:
    """Set the gate in the model's calibration file, and keep its other numbers."""
    path = CALIBRATIONS / f"{model.rpartition('/')[2].lower()}.json"
    numbers = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(numbers | {"gate": {"min_fit": min_fit}}, indent=2) + "\n", encoding="utf-8")
    print(f"{path}: `make model` copies it to the model")
