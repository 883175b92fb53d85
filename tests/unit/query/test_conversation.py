"""Follow-up questions: rewritten by the model, or joined to the question before."""

from __future__ import annotations

import pytest

from docwell.answers import Turn
from docwell.deadline import run
from docwell.errors import Unavailable
from docwell.query.conversation import Conversation
from docwell.query.prompting import load_prompt
from tests.unit.query.query_fakes import FakeModel
from tests.unit.query.query_world import rows

# The previous question with its answer, the follow-up, and the rewritten follow-up.
LANGUAGES = {
    language: (Turn(question, answer), follow_up, rewritten)
    for language, question, answer, follow_up, rewritten in rows("follow_ups")
}


def standalone(says: str, turns: list[Turn], question: str, fails: Exception | None = None) -> str:
    """Return the search text for a follow-up that the model rewrites as `says`."""
    conversation = Conversation(FakeModel(says, fails=fails), load_prompt("rewrite"), 4_000)
    return run(conversation.standalone(conversation.follow_up(turns, question), 5.0))[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_with_words_of_the_conversation_is_taken(language: str) -> None:
    turn, question, rewritten = LANGUAGES[language]
    assert standalone(rewritten, [turn], question) == rewritten


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("change", [str, str.upper, lambda text: f'"{text}"', lambda text: text.strip("?؟")])
def test_a_question_that_the_model_left_unchanged_is_joined_to_the_last(language: str, change: object) -> None:
    turn, question, _ = LANGUAGES[language]
    assert callable(change)
    assert standalone(change(question), [turn], question) == f"{turn.question} {question}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_about_something_else_is_joined_to_the_one_before(language: str) -> None:
    turn, question, _ = LANGUAGES[language]
    assert standalone("Zanzibar Quux 999?", [turn], question) == f"{turn.question} {question}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_that_stands_alone_is_searched_as_it_is(language: str) -> None:
    turn, _, whole = LANGUAGES[language]
    for says in (whole, "", "Zanzibar Quux 999?"):
        assert standalone(says, [turn], whole) == whole


def test_articles_are_not_words_of_the_conversation() -> None:
    turn, question, _ = LANGUAGES["German"]
    assert standalone("Und wie im Jahr 2017 die?", [turn], question) == f"{turn.question} {question}"


def test_words_of_earlier_turns_and_answers_are_words_of_the_conversation() -> None:
    turns = [Turn("Who runs the mill?", "Mr Ostrander does."), Turn("Since when?", "Since 1990.")]
    for rewritten in ("Who owns the mill?", "Where does Ostrander live?", "What happened in 1990?"):
        assert standalone(rewritten, turns, "And then?") == rewritten


@pytest.mark.parametrize("says", ["", "One.\nTwo.", "mill " * 200])
def test_a_rewriting_that_is_not_a_question_is_not_searched(says: str) -> None:
    turn = Turn("Who runs the mill?", "Ostrander.")
    assert standalone(says, [turn], "Where?") == "Who runs the mill? Where?"


def test_without_the_model_the_question_before_comes_first() -> None:
    turn = Turn("Who runs the mill?", "Ostrander.")
    assert standalone("", [turn], "Where?", Unavailable("ollama", "down")) == "Who runs the mill? Where?"
