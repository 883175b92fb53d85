"""The choice of a mode, and of the basis of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from docwell.answers import Mode
from docwell.errors import BadInput
from docwell.models import Chunk, Passage
from docwell.query.modes import Basis, Modes, Searched
from docwell.query.prompting import load_prompt
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from docwell.query.routing import Router
from tests.unit.fakes import FakeEmbedder, FakeIndex, FakeLedger
from tests.unit.query.query_world import EVERYTHING
from tests.unit.query.test_routing import passage

SEARCHED = Searched(Mode.AUTO, "boiler", Scope(EVERYTHING), [1.0], (passage(0.5),), (), 5)
RETRIEVAL = Retrieval(FakeLedger(), FakeIndex())
BASIS = Basis(Mode.OVERVIEW, (passage(0.5),), load_prompt("overview"))


class OneMode(Router):
    """Chooses always the same mode."""

    def __init__(self, mode: Mode) -> None:
        super().__init__(FakeEmbedder())
        self.mode = mode

    def choose(self, question: str, vector: Sequence[float], passages: Sequence[Passage]) -> Mode:
        return self.mode


@dataclass
class FixedWay:
    gives: Basis | None = BASIS
    refuses: bool = False

    def basis(self, searched: Searched) -> Basis | None:
        if self.refuses:
            raise BadInput("several documents")
        return self.gives


@pytest.mark.parametrize(
    ("asked", "routed", "given"),
    [
        (Mode.AUTO, Mode.OVERVIEW, BASIS),
        (Mode.AUTO, Mode.PASSAGES, None),
        (Mode.OVERVIEW, Mode.PASSAGES, BASIS),
        (Mode.PASSAGES, Mode.OVERVIEW, None),
    ],
)
def test_the_caller_chooses_the_mode_and_otherwise_the_router(
    asked: Mode, routed: Mode, given: Basis | None
) -> None:
    modes = Modes(OneMode(routed), {Mode.OVERVIEW: FixedWay()}, RETRIEVAL)
    assert modes.basis(replace(SEARCHED, mode=asked)) is given


def test_a_question_that_names_several_documents_in_their_own_words_compares_them() -> None:
    modes = Modes(OneMode(Mode.PASSAGES), {Mode.COMPARE: FixedWay()}, RETRIEVAL)
    found = replace(SEARCHED, text="Acme or Bolt?", documents=("a/ACME_2022.pdf", "a/BOLT_2022.pdf"))
    assert modes.basis(found) is BASIS
    assert modes.basis(replace(found, text="Acme?")) is None
    assert modes.basis(replace(found, documents=("a/ACME_2021.pdf", "a/ACME_2022.pdf"))) is None
    assert modes.basis(replace(found, mode=Mode.PASSAGES)) is None


def test_a_question_that_names_a_file_is_judged_beside_joined_chunks_that_the_embedder_cannot_read_at_once() -> (
    None
):
    seen: list[Passage] = []

    class Seeing(OneMode):
        def choose(self, question: str, vector: Sequence[float], passages: Sequence[Passage]) -> Mode:
            seen.extend(passages)
            return self.mode

    text = "valve " * (FakeEmbedder.max_tokens + 1) + "boiler " * FakeEmbedder.max_tokens
    joined = replace(passage(0.5), chunk=Chunk(text, 1, 0, len(text), 0), document="a/minutes.docx")
    modes = Modes(Seeing(Mode.PASSAGES), {}, RETRIEVAL)
    asked = replace(SEARCHED, text="minutes.docx boiler", passages=(joined,), documents=("a/minutes.docx",))
    assert modes.basis(asked) is None
    assert [one.score for one in seen] == [pytest.approx(1.0)]


def test_a_mode_that_does_not_suit_the_question_is_an_error_of_the_caller_and_not_of_the_router() -> None:
    modes = Modes(OneMode(Mode.OVERVIEW), {Mode.OVERVIEW: FixedWay(refuses=True)}, RETRIEVAL)
    assert modes.basis(SEARCHED) is None
    with pytest.raises(BadInput):
        modes.basis(replace(SEARCHED, mode=Mode.OVERVIEW))
