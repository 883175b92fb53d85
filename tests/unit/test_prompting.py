"""Prompts within a budget."""

from __future__ import annotations

import pytest

from docwell.errors import BadInput, Corrupt
from docwell.models import Chunk, Passage
from docwell.prompting import build_prompt, count_tokens, load_prompt, parse_prompt

PROMPT = parse_prompt("p", b"# system\nBe good.\n\n# user\n$passages\n\nQ: $question\n")


def passages(*texts: str) -> list[Passage]:
    return [Passage(str(i), "d", "g", "v", Chunk(t, 1, 1, 0, len(t), 1), 1 - i / 10) for i, t in enumerate(texts)]


def test_passages_are_numbered_from_one() -> None:
    built = build_prompt(PROMPT, passages("first", "second"), "why?", 1000)
    assert built.messages[-1].content == "[1] first\n[2] second\n\nQ: why?"
    assert built.messages[0].role == "system"


def test_the_lowest_ranks_are_dropped_until_the_rest_fits() -> None:
    built = build_prompt(PROMPT, passages(*["one two three four five"] * 10), "why?", 100)
    assert 0 < len(built.passages) < 10
    assert built.dropped == 10 - len(built.passages)
    assert built.tokens <= 100


def test_a_question_that_leaves_no_room_for_a_passage_is_bad_input() -> None:
    with pytest.raises(BadInput):
        build_prompt(PROMPT, passages("text"), "why? " * 100, 50)


def test_placeholders_inside_a_passage_or_question_stay_as_they_are() -> None:
    built = build_prompt(PROMPT, passages("costs $question and $passages"), "is it $5 or $passages?", 1000)
    assert built.messages[-1].content == "[1] costs $question and $passages\n\nQ: is it $5 or $passages?"


@pytest.mark.parametrize(("word", "tokens"), [("report", 1), ("отчётность", 3), ("التقرير", 3)])
def test_a_prompt_that_was_read_whole_is_not_taken_for_cut_in_any_alphabet(word: str, tokens: int) -> None:
    # `tokens` is what Qwen 2.5's tokenizer makes of the word and its blank.
    built = build_prompt(PROMPT, passages(f"{word} " * 300), "?", 10_000)
    assert not built.was_cut(300 * tokens)
    assert built.was_cut(built.tokens // 3)


def test_the_version_changes_with_the_bytes() -> None:
    assert parse_prompt("p", b"# user\n$passages $question").version != PROMPT.version


@pytest.mark.parametrize(
    "data", [b"", b"just text", b"# user\nno placeholders", b"# user\n$passages$question\n# assistant\nx"]
)
def test_a_file_that_is_no_prompt_is_told(data: bytes) -> None:
    with pytest.raises(Corrupt):
        parse_prompt("p", data)


def test_the_shipped_prompt_is_one_and_shows_two_worked_examples() -> None:
    prompt = load_prompt("answer")
    assert [turn.role for turn in prompt.turns].count("assistant") >= 2


@pytest.mark.parametrize("text", ["plain words", "1,234.56", "日本語の文", "ภาษาไทย", "emoji 🎉🎉", "\n\n  \t"])
def test_every_character_is_counted(text: str) -> None:
    assert count_tokens(text + text) >= count_tokens(text) >= 1
