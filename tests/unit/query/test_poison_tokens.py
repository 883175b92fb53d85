"""Passages of few embedding tokens and of very many tokens of the language model."""

from __future__ import annotations

import base64
import random
import string

import pytest

from docwell.answers import AnswerStatus, Turn
from docwell.errors import BadInput
from docwell.models import Chunk, DocumentRecord, IndexRecord, Passage, Status
from docwell.query.ask import Question
from docwell.query.conversation import Conversation
from docwell.query.prompting import build_prompt, load_prompt
from docwell.text.tokens import bound_of
from tests.unit.query.query_fakes import FakeModel
from tests.unit.query.query_world import BOILER, QUESTION, World

BUDGET = 3696  # of the settings: num_ctx - num_predict
CHANCE = random.Random(7)


def words(alphabet: str, length: int, count: int) -> str:
    return " ".join("".join(CHANCE.choices(alphabet, k=length)) for _ in range(count))


def letters(first: int, last: int) -> str:
    return "".join(map(chr, range(first, last)))


POISON = {
    "cuneiform": words(letters(0x12000, 0x12300), 60, 70),
    "rare han": words(letters(0x3400, 0x4DB0), 60, 70),
    "han past the basic plane": words(letters(0x20000, 0x20500), 60, 70),
    "ethiopic": words(letters(0x1200, 0x1240), 60, 70),
    "rare cyrillic": words(letters(0x0460, 0x0480), 60, 70),
    "polytonic greek": words(letters(0x1F00, 0x1F10), 60, 70),
    "emoji": words(letters(0x1F300, 0x1F5FF), 60, 70),
    "flags": words(letters(0x1F1E6, 0x1F1FF), 60, 70),
    "zalgo": "".join(letter + "".join(CHANCE.choices(letters(0x300, 0x36F), k=30)) for letter in BOILER * 4),
    "base64": base64.b64encode(CHANCE.randbytes(6000)).decode(),
    "base64 words": " ".join(base64.b64encode(CHANCE.randbytes(12)).decode() for _ in range(300)),
    "hex": " ".join(CHANCE.randbytes(16).hex() for _ in range(150)),
    "random bytes": CHANCE.randbytes(8000).decode("latin-1"),
    "one giant word": words(string.ascii_lowercase, 9000, 1),
    "one giant number": words(string.digits, 9000, 1),
}
EACH = pytest.mark.parametrize("poison", POISON.values(), ids=POISON)


def passage(text: str, rank: int) -> Passage:
    return Passage(f"p{rank}", "d", "g", "v", Chunk(text, 1, 0, len(text), 70), 0.9 - rank / 10)


def poisoned(world: World, poison: str) -> None:
    """Add a passage that ranks first: the embedder reads only its words."""
    text = f"{QUESTION} {poison}"
    vector = world.embedder.embed_passages([QUESTION])[0].tolist()
    chunk = Chunk(text, 1, 0, len(text), 70)
    world.index.upsert("house", [IndexRecord("poison", "house/poison.pdf", "live", "v1", chunk, vector)])
    world.ledger.records["house/poison.pdf"] = DocumentRecord(
        "house/poison.pdf", Status.INDEXED, live_generation="live", live_version="v1"
    )


@EACH
def test_no_text_that_is_foreign_to_a_tokenizer_is_counted_under_its_bytes(poison: str) -> None:
    # A tokenizer makes at most one token of each byte, and one of each run of blanks.
    assert bound_of(poison).most >= 0.9 * len(poison.encode())


@EACH
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_poison_passage_is_dropped_and_the_others_are_read(poison: str, place: int) -> None:
    texts = [BOILER * 3, BOILER * 2]
    texts.insert(place, poison)
    built = build_prompt(
        load_prompt("answer"), [passage(text, n) for n, text in enumerate(texts)], QUESTION, BUDGET
    )
    assert [one.chunk.text for one in built.passages] == [BOILER * 3, BOILER * 2]
    assert built.dropped == 1
    assert "[2] d. The boiler" in built.messages[-1].content
    assert "[3]" not in built.messages[-1].content


@EACH
def test_a_question_is_answered_beside_a_poison_passage_that_ranks_first(poison: str) -> None:
    world = World(num_ctx=4096)
    poisoned(world, poison)
    world.add("house/rules.pdf", BOILER)
    world.model.says = "Every March [1]."
    answer = world.ask().answer
    assert (answer.status, answer.dropped_passages) == (AnswerStatus.ANSWERED, 1)
    assert [citation.document for citation in answer.citations] == ["house/rules.pdf"]


@EACH
def test_poison_alone_is_a_refusal_without_the_model(poison: str) -> None:
    world = World(num_ctx=4096)
    poisoned(world, poison)
    answer = world.ask().answer
    assert (answer.status, answer.dropped_passages, world.model.asked) == (AnswerStatus.REFUSED, 1, [])


@EACH
def test_only_a_question_that_is_too_long_itself_is_bad_input(poison: str) -> None:
    with pytest.raises(BadInput, match="question is too long"):
        build_prompt(load_prompt("answer"), [passage(BOILER, 0)], f"{QUESTION} {poison}", BUDGET)


@pytest.mark.parametrize(
    "script", ["The annual report of revenue", "Der Bericht über Umsätze", "年度报告 描述了", "отчёт"]
)
def test_ordinary_text_is_not_counted_by_its_bytes(script: str) -> None:
    text = f"{script}, " * 20
    assert bound_of(text).most < 0.8 * len(text.encode())


@EACH
def test_a_poison_turn_is_left_out_of_the_prompt_that_rewrites(poison: str) -> None:
    conversation = Conversation(FakeModel(), load_prompt("rewrite"), 1500)
    turns = [Turn(poison, poison), *[Turn("Is the boiler inspected?", "Every March [1].")] * 2]
    follow_up = conversation.follow_up(turns, "how often?")
    assert bound_of(follow_up.messages[-1].content).most <= 1500
    assert follow_up.messages[-1].content.count("Is the boiler inspected?") == 2


@EACH
def test_a_follow_up_that_is_too_long_itself_is_bad_input_before_the_model_is_asked(poison: str) -> None:
    world = World(num_ctx=4096)
    with pytest.raises(BadInput, match="question is too long"):
        world.ask(Question(f"why {poison}", history=(Turn("a", "b"),)))
    assert world.rewriter.asked == []
