"""The fit of a question, by which the gate decides, from whole searches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from docwell.identity import Principal, Rule
from docwell.query.retrieval.ranking import JUDGED
from docwell.query.retrieval.retrieval import RankedHits, Retrieval
from docwell.query.retrieval.scope import Scope
from tests.unit.query.query_world import EVERYTHING, World, rows

EVERYWHERE = Scope(EVERYTHING, {"house": None})
# A collection with too many documents to list: only the ledger knows which hits are allowed.
MINE = Scope(Principal("key:ann", rules=frozenset({Rule("house", "house/mine")})), {"house": None})
QUESTION = "who inspects the boiler in the cellar"


def search(
    world: World, top_k: int = 5, scope: Scope = EVERYWHERE, question: str = QUESTION, **more: Any
) -> RankedHits:
    vector = world.embedder.embed_queries([question])[0].tolist()
    return Retrieval(world.ledger, world.index).search(scope, vector, top_k, question, **more)


def many(count: int, folder: str = "house") -> World:
    """Return a world of similar passages, of which a few have more of the question's words."""
    world = World()
    for number in range(count):
        rare = " inspects cellar" * (number % 7 == 3)
        world.add(f"{folder}/{number:04}.pdf", f"the boiler number{number} is in room{number % 13}{rare}")
    return world


def copies(folder: str = "house") -> World:
    """Return a world where copies crowd others out of the first search."""
    world = many(8, folder)
    for number in range(130):
        world.add(f"{folder}/copy{number:04}.pdf", "the boiler in the cellar is warm")
    return world


def words_far_below(folder: str = "house") -> World:
    """Return a world where the question's words are in passages that only a deeper search finds."""
    world = World()
    for number in range(150):
        world.add(f"{folder}/{number:04}.pdf", f"boiler boiler boiler number{number}")
    for number in range(60):
        world.add(
            f"{folder}/far{number:04}.pdf", "anna inspects the boiler in the cellar" + " pipe" * (12 + number)
        )
    return world


def crowded_by_old() -> World:
    """Return a world where chunks that are no longer live crowd others out of the first search."""
    world = many(8)
    for page in range(300):
        world.add("house/0001.pdf", f"who inspects the boiler in the cellar {page}", page=page + 2, live=False)
    return world


@pytest.mark.parametrize(
    "world",
    [many(3), many(60), many(400), copies(), words_far_below(), crowded_by_old()],
    ids=["few", "some", "many", "copies", "words far below", "old generations"],
)
def test_the_fit_is_the_same_however_many_passages_are_shown(world: World) -> None:
    fits = {
        (top_k, spare): search(world, top_k, spare=spare).fit
        for top_k in (1, 2, 5, 6, 20, 200)
        for spare in (0, 15)
    }
    assert set(fits.values()) == {fits[JUDGED, 0]} != {None}


ALLOWED: dict[str, Callable[[str], World]] = {
    "one": partial(many, 1),
    "few": partial(many, 4),
    "many": partial(many, 200),
    "copies": copies,
    "words far below": words_far_below,
}


@pytest.mark.parametrize("allowed", ALLOWED.values(), ids=ALLOWED)
@pytest.mark.parametrize("text", rows("forbidden"))
def test_forbidden_chunks_change_neither_fit_nor_passages(allowed: Callable[[str], World], text: str) -> None:
    found = []
    for others in (0, 300):
        world = allowed("house/mine")
        for number in range(others):
            world.add(f"house/other{number:04}.pdf", text.format(number=number))
        found.append([search(world, top_k, MINE) for top_k in (1, 5, 20)])
    assert found[0] == found[1]
    assert found[0][0].fit is not None


def test_a_hit_of_a_collection_outside_the_scope_changes_neither_fit_nor_passages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = many(60)
    alone = search(world)
    world.add("garden/secret.pdf", QUESTION)
    searched = world.index.search
    monkeypatch.setattr(world.index, "search", lambda _places, vector, k: searched(None, vector, k))
    assert search(world) == alone


def test_thousands_of_copies_of_the_answer_do_not_close_the_gate() -> None:
    world = World()
    for number in range(3000):
        world.add(f"house/copy{number:04}.pdf", "anna inspects the boiler in the cellar")
    found = search(world)
    alone = World()
    alone.add("house/copy.pdf", "anna inspects the boiler in the cellar")
    assert found.fit == pytest.approx(search(alone).fit)
    assert len(found.passages) == 1


def test_nothing_found_has_no_fit() -> None:
    assert search(World()) == search(World(), scope=Scope(EVERYTHING, {})) == RankedHits((), None)
