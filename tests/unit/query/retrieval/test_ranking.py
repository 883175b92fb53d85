from __future__ import annotations

import numpy as np

from docwell.ingest.indexing import pack_units
from docwell.models import Chunk, Passage, Units
from docwell.query.retrieval.ranking import Weights, rank

ASKED = np.eye(4, dtype=np.float32)[0]
FAR = np.eye(4, dtype=np.float32)[1]


def passage(
    id_: str,
    text: str,
    score: float = 0.5,
    *,
    units: Units | None = None,
    key: str = "a/b.pdf",
) -> Passage:
    chunk = Chunk(text, 3, 100, 100 + len(text), len(text.split()))
    return Passage(id_, key, "g", "v", chunk, score, units or Units())


def ids(question: str, candidates: list[Passage], weights: Weights | None = None) -> list[str]:
    return [one.passage.id for one in rank(question, ASKED.tolist(), candidates, weights)]


def fillers() -> list[Passage]:
    return [passage(f"filler {i}", "the house is warm", 0.4) for i in range(6)]


def test_a_rare_word_of_the_question_brings_a_passage_forward() -> None:
    candidates = [passage("near", "the house is warm", 0.6), *fillers(), passage("named", "the EBITDA rose", 0.5)]
    assert ids("the EBITDA", candidates)[0] == "named"


def test_words_that_no_passage_has_make_the_others_count_less() -> None:
    candidates = [*fillers(), passage("named", "the EBITDA rose", 0.4)]

    def gain(question: str) -> float:
        return max(one.score for one in rank(question, ASKED.tolist(), candidates)) - 0.4

    assert gain("EBITDA") > gain("EBITDA of Atlantis") > 0


def test_a_word_that_most_candidates_have_tells_nothing() -> None:
    candidates = [*fillers(), passage("without", "a cold day", 0.45)]
    assert ids("the house", candidates)[0] == "without"


def test_the_best_unit_counts_beside_the_whole() -> None:
    spans = [(0, 4), (5, 9)]
    sharp = passage("sharp", "cold warm", 0.4, units=pack_units(spans, np.stack([FAR, ASKED])))
    blunt = passage("blunt", "cold cold", 0.5, units=pack_units(spans, np.stack([FAR, FAR])))
    assert ids("", [blunt, sharp]) == ["sharp", "blunt"]
    assert ids("", [blunt, sharp], Weights(unit=0.0)) == ["blunt", "sharp"]


def test_a_passage_is_no_further_than_it_is_as_a_whole_whatever_its_parts_are() -> None:
    table = passage("table", "1 2 3 4", 0.5, units=pack_units([(0, 3), (4, 7)], np.stack([FAR, FAR])))
    assert ids("", [passage("prose", "a cold day", 0.45), table]) == ["table", "prose"]


def test_a_question_tells_documents_apart_by_the_words_and_years_of_their_file_names() -> None:
    candidates = [
        passage("old", "the sales rose", 0.50, key="a/ACME_2021_10K.pdf"),
        passage("other", "the sales rose", 0.50, key="a/UMBRELLA_2022_10K.pdf"),
        passage("asked", "the sales rose", 0.48, key="a/ACME_2022_10K.pdf"),
    ]
    assert ids("sales of Acme in FY2022", candidates)[0] == "asked"
    assert ids("sales", candidates)[0] != "asked"
    assert ids("sales of Acme in FY2022", candidates, Weights(document=0.0))[0] != "asked"


def test_what_all_file_names_have_tells_none_apart() -> None:
    both = [passage(id_, "the sales rose", 0.5, key=f"a/{id_}_10K.pdf") for id_ in ("one", "two")]
    plain = [one.score for one in rank("", ASKED.tolist(), both)]
    assert [one.score for one in rank("10K", ASKED.tolist(), both)] == plain


def test_without_a_question_passages_stay_in_the_order_of_their_cosine() -> None:
    candidates = [passage("b", "x", 0.2), passage("a", "x", 0.9)]
    assert ids("", candidates) == ["a", "b"]
    assert rank("x", ASKED.tolist(), []) == []
