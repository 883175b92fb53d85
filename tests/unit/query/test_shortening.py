"""Passages cut to their best part."""

from __future__ import annotations

import pytest

from docwell.models import Chunk, Passage
from docwell.query.prompting import build_prompt, load_prompt, shorten
from docwell.text.tokens import bound_of
from tests.unit.query.query_world import rows

PAGE_START = 1_000
# A language: its question, the sentence that answers, and a sentence that does not.
LANGUAGES = {language: texts for language, *texts in rows("answers_in_text")}
FILLER = LANGUAGES["English"][-1]


def passage(text: str, number: int = 1) -> Passage:
    chunk = Chunk(text, 1, PAGE_START, PAGE_START + len(text), 100)
    return Passage(str(number), f"d{number}.pdf", "g", "v", chunk, 0.5)


def tokens(passages: list[Passage]) -> int:
    return sum(bound_of(one.chunk.text).expected for one in passages)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("place", [0, 10, 20])
def test_the_sentence_that_answers_stays_wherever_it_stands(language: str, place: int) -> None:
    question, answer, filler = LANGUAGES[language]
    text = filler * place + answer + " " + filler * (20 - place)
    (kept,) = shorten([passage(text)], question, 100)
    assert answer in kept.chunk.text
    assert len(kept.chunk.text) < len(text)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("limit", [60, 350, 1000])
def test_all_parts_together_keep_the_limit(language: str, limit: int) -> None:
    question, answer, filler = LANGUAGES[language]
    passages = [passage(filler * 30 + answer, number) for number in range(1, 6)]
    kept = shorten(passages, question, limit)
    assert kept
    assert tokens(kept) <= limit


def test_a_part_stands_at_its_offsets_in_the_page() -> None:
    question, answer, filler = LANGUAGES["English"]
    text = filler * 10 + answer + " " + filler * 10
    (kept,) = shorten([passage(text)], question, 60)
    page = " " * PAGE_START + text
    assert page[kept.chunk.start : kept.chunk.end] == kept.chunk.text


def test_a_better_rank_has_more_room() -> None:
    question, answer, filler = LANGUAGES["English"]
    kept = shorten([passage(filler * 30 + answer, number) for number in range(1, 4)], question, 350)
    assert [one.id for one in kept] == ["1", "2", "3"]
    lengths = [len(one.chunk.text) for one in kept]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[-1] > len(answer)


def test_passages_that_fit_together_stay_whole() -> None:
    passages = [passage(FILLER * length, number) for number, length in enumerate((9, 1, 3), 1)]
    assert shorten(passages, "weather?", tokens(passages) + 20) == passages


def test_passages_without_room_for_a_sentence_are_dropped_and_reported() -> None:
    question, answer, _ = LANGUAGES["English"]
    passages = [passage(f"{answer} Room {number}.", number) for number in range(1, 21)]
    built = build_prompt(load_prompt("answer"), passages, question, 4_000, passage_tokens=60)
    assert 0 < len(built.passages) < 20
    assert built.dropped == 20 - len(built.passages)
