from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docwell.ingest.indexing import pack_units
from docwell.models import Chunk, Passage, Units
from docwell.query.retrieval import ranking
from docwell.query.retrieval.ranking import newest, rank
from docwell.text.lexicon import beginnings
from docwell.text.naming import file_words
from tests.unit.cases import rows

ASKED = np.eye(4, dtype=np.float32)[0]


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


def ids(question: str, candidates: list[Passage]) -> list[str]:
    return [passage.id for passage, _ in rank(question, ASKED.tolist(), candidates)]


def test_a_question_tells_documents_apart_by_the_words_and_years_of_their_file_names() -> None:
    candidates = [
        passage("old", "the sales rose", 0.50, key="a/ACME_2021_10K.pdf"),
        passage("other", "the sales rose", 0.50, key="a/UMBRELLA_2022_10K.pdf"),
        passage("asked", "the sales rose", 0.48, key="a/ACME_2022_10K.pdf"),
    ]
    assert ids("sales of Acme in FY2022", candidates)[0] == "asked"
    assert ids("sales", candidates)[0] != "asked"
    with patch.object(ranking, "NAME_WEIGHT", 0.0):
        assert ids("sales of Acme in FY2022", candidates)[0] != "asked"


@pytest.mark.parametrize(("question", "keys", "place"), rows(__file__, "newest_versions"))
def test_a_question_for_the_newest_prefers_the_version_with_the_last_date_in_its_name(
    question: str, keys: list[str], place: int | None
) -> None:
    assert place is None or newest(keys) == newest(keys[::-1]) == {keys[place]}
    candidates = [passage(key, "the sales rose", 0.5, key=key) for key in keys]
    assert ids(question, candidates)[0] == (min(keys) if place is None else keys[place])


_KINDS = st.builds(
    lambda words, score, parts, key: passage(
        "", " ".join(words), score, units=pack_units([(0, 1)] * len(parts), np.array(parts, np.float32)), key=key
    ),
    st.lists(st.sampled_from(["boiler", "warm", "house", "é", "FY2022", "日本"]), max_size=8),
    st.floats(-1, 1),
    st.lists(st.sampled_from([*map(tuple, np.eye(4)), (0.6, 0.8, 0, 0), (0.0, 0, 0, 0)]), max_size=3),
    st.sampled_from(["a/Acme_2021.pdf", "a/Acme_2022.pdf", "a/house.pdf", "a/x.pdf"]),
)


def _score(asked: set[str], vector: list[float], candidates: list[Passage]) -> dict[str, tuple[float, float]]:
    """Return (score to rank by, cosine of the nearest part) of each candidate by the plain formula, by id."""
    texts = [Counter(beginnings(one.chunk.text)) for one in candidates]
    length = max(sum(text.total() for text in texts) / len(texts), 1)
    having = {word: sum(word in text for text in texts) for word in asked}
    rarity = {w: max(0.0, math.log((len(texts) - n + 0.5) / (n + 0.5))) for w, n in having.items()}

    def bm25(text: Counter[str]) -> float:
        usual = 1.2 * (0.25 + 0.75 * text.total() / length)
        return sum(rarity[word] * text[word] * 2.2 / (text[word] + usual) for word in asked)

    coverage = [bm25(text) / (sum(rarity.values()) or 1) for text in texts]
    names = {one.document: asked & set(beginnings(file_words(one.document))) for one in candidates}
    counts = Counter(word for own in names.values() for word in own)
    tells = {word: math.log((len(names) + 1) / n) if n < len(names) else 0.0 for word, n in counts.items()}
    found = {}
    for one, covered in zip(candidates, coverage, strict=True):
        parts = [np.array(part, float) for part in np.frombuffer(one.units.vectors, np.int8).reshape(-1, 4)]
        best = max([one.score, *(float(part @ vector) / max(math.hypot(*part), 1) for part in parts)])
        score = 0.7 * one.score + 0.3 * best + 0.5 * covered * max(coverage)
        named = sum(map(tells.__getitem__, names[one.document])) / (sum(tells.values()) or 1)
        found[one.id] = score + 0.1 * named, best
    return found


@settings(deadline=None)
@given(
    st.lists(st.tuples(_KINDS, st.integers(1, 3)), min_size=1, max_size=20),
    st.sampled_from(["", "house", "Acme 2022 boiler", "日本 warm FY2022 é", "Atlantis boilers boilers"]),
)
def test_the_ranking_is_the_plain_formula_and_copies_are_in_the_order_of_their_documents(
    kinds: list[tuple[Passage, int]], question: str
) -> None:
    copies = [replace(kind, id=f"{i}.{copy}") for i, (kind, count) in enumerate(kinds) for copy in range(count)]
    vector = [0.8, 0.6, 0.0, 0.0]
    plain = _score(set(beginnings(question)), vector, copies)
    ranked = rank(question, vector, copies)
    for passage, score in ranked:
        assert (score, passage.score) == pytest.approx(plain[passage.id], abs=1e-5)
    scores = {passage.id: score for passage, score in ranked}
    assert all(
        scores[f"{i}.{copy}"] == scores[f"{i}.0"] for i, (_, count) in enumerate(kinds) for copy in range(count)
    )
    in_order = sorted(copies, key=lambda one: (-scores[one.id], one.document))
    assert [passage.id for passage, _ in ranked] == [one.id for one in in_order]
