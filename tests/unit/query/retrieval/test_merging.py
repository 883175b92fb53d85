from __future__ import annotations

from dataclasses import replace

import pytest

from docwell.models import Chunk, Passage, Units
from docwell.query.retrieval.ranking import merge, with_named
from tests.unit.cases import rows

PAGE = "The boiler is warm.\nThe cellar is cold.\n\nThe attic is dry."


def passage(
    start: int, end: int, *, page: int = 1, score: float = 0.5, tokens: int = 4, key: str = "a"
) -> Passage:
    chunk = Chunk(PAGE[start:end], page, start, end, tokens, heading=f"from {start}")
    return Passage(f"{key} {page} {start}", key, "g", "v", chunk, score)


BOILER, CELLAR, ATTIC = (0, 19), (20, 39), (41, 58)


def test_passages_that_follow_each_other_are_one_with_the_text_and_offsets_of_both() -> None:
    (found,) = merge([passage(*CELLAR, score=0.4), passage(*BOILER, score=0.6)], 5)
    assert found.chunk.text == PAGE[: CELLAR[1]]
    assert (found.chunk.start, found.chunk.end, found.chunk.tokens) == (0, CELLAR[1], 8)
    assert (found.id, found.score, found.chunk.heading) == ("a 1 20", 0.6, "from 0")


@pytest.mark.parametrize(("documents", "shown"), rows(__file__, "named_documents"))
def test_each_named_document_has_a_place_if_there_are_enough(documents: str, shown: str) -> None:
    ranked = [passage(*BOILER, key=key) for key in "aaabbcCdef"]
    # "c" and "C" have one name.
    names = {key: frozenset({key.lower()}) for key in documents}
    places = with_named(names, ranked[:4], ranked)
    assert "".join(place.document for place in places) == shown


def test_joined_units_stand_at_their_text() -> None:
    boiler = replace(passage(*BOILER), units=Units(((4, 10),), b"b"))
    cellar = replace(passage(*CELLAR), units=Units(((4, 10), (11, 13)), b"cd"))
    for order in ([boiler, cellar], [cellar, boiler]):
        (found,) = merge(order, 5)
        assert [found.chunk.text[start:end] for start, end in found.units.spans] == ["boiler", "cellar", "is"]
        assert found.units.vectors == b"bcd"


def test_passages_of_other_pages_and_documents_and_with_something_between_stay_apart() -> None:
    apart = [passage(*BOILER), passage(*CELLAR, page=2), passage(*CELLAR, key="b"), passage(*ATTIC)]
    assert merge(apart, 5) == apart


def test_no_text_comes_from_behind_the_first_passage_over_the_limit() -> None:
    ranked = [passage(*BOILER), passage(*ATTIC, page=2), passage(*CELLAR)]
    assert [one.id for one in merge(ranked, 1)] == ["a 1 0"]
    assert [one.chunk.end for one in merge(ranked, 2)] == [CELLAR[1], ATTIC[1]]
