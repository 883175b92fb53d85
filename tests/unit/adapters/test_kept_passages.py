"""Which passages stay in memory."""

from __future__ import annotations

from docwell.adapters.kept_passages import KeptPassages
from docwell.models import Chunk, Passage


def passage(id_: str) -> Passage:
    return Passage(id_, "a.pdf", "g", "v", Chunk("text", 1, 0, 4, 1), 0.0)


def test_the_passages_that_nobody_asked_for_the_longest_go() -> None:
    kept = KeptPassages(2)
    kept.keep("c", [passage("a"), passage("b")])
    kept.find("c", ["a"])
    kept.keep("c", [passage("c")])
    assert set(kept.find("c", ["a", "b", "c"])) == {"a", "c"}


def test_a_collection_has_its_own() -> None:
    kept = KeptPassages(2)
    kept.keep("c", [passage("a")])
    assert kept.find("d", ["a"]) == {}


def test_none_is_kept_where_none_may_be() -> None:
    kept = KeptPassages(0)
    kept.keep("c", [passage("a")])
    assert kept.find("c", ["a"]) == {}


def test_none_is_older_than_ten_minutes() -> None:
    now = [0.0]
    kept = KeptPassages(2, clock=lambda: now[0])
    kept.keep("c", [passage("a")])
    now[0] = 599.0
    assert set(kept.find("c", ["a"])) == {"a"}
    now[0] = 601.0
    assert kept.find("c", ["a"]) == {}
    kept.keep("c", [passage("a")])
    assert set(kept.find("c", ["a"])) == {"a"}
