"""Write a page of the docs: what hit@5 loses without each part of the ranking, on sets that none was chosen on."""

import sys
from statistics import fmean

import numpy as np

from benchmarks.retrieval.asking import DEFAULT, PARTS, Scores
from benchmarks.retrieval.sets import EvaluationSet
from infra.measuring import interval_of_difference
from infra.report import ROOT, Report, machine

TABLE = ROOT / "docs" / "generated" / "ranking.md"
_MEASURE = "hit@5"
# The signals of `docwell.query.retrieval.ranking.Weights`, in words of a reader.
_TITLES = {"unit": "the nearest unit", "words": "the words", "document": "the words of the file name"}
_HEAD = """# What each part of the ranking is worth

`make eval-retrieval ARGS="{arguments}"`, on
{machine}.
Points that {measure} loses without a part, with the 95 % interval, on a sample of sets that no part was chosen on.
"All of them" ranks by the vectors of chunks alone, and joins no neighbours. The last rows are the questions of
each mode that the router gets right, beside one passage for each document that has its file name alone.

| row | value | unit |
| --- | ---: | --- |
"""


def add_parts(report: Report, material: EvaluationSet, scores: Scores) -> None:
    """Add the measure with all parts, and its loss without each of them: the mean over the judged scopes."""

    def values(way: str) -> list[float]:
        asked = [scope for scope in material.judged if (way, scope) in scores]  # none is mixed where one set is
        mean = np.mean([scores[way, scope][_MEASURE] for scope in asked], axis=0)
        return [float(value) for value in mean]

    whole = values(DEFAULT)
    report.add(f"{material.title}, {len(material.asked)} questions: {_MEASURE}", fmean(whole), "%")
    ways = {f"without {_TITLES[part]}": way for part, way in PARTS.items()} | {"without all of them": "nearest"}
    for title, way in ways.items():
        loss, low, high = interval_of_difference(whole, values(way))
        report.add(f"{material.title}, {title}: loss [{low:+.1f}, {high:+.1f}]", loss, "points")


def write_table(report: Report) -> None:
    """Write the rows as a page of the docs."""
    rows = "".join(f"| {row.metric} | {row.value:.2f} | {row.unit} |\n" for row in report.rows)
    TABLE.write_text(
        _HEAD.format(arguments=" ".join(sys.argv[1:]), machine=machine(), measure=_MEASURE) + rows,
        encoding="utf-8",
    )
