"""The mode `compare`: which documents have a row, and what a row says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from docwell.answers import AnswerStatus, Completion, Message, Mode
from docwell.errors import BadInput, DeadlineExceeded, ModelMissing, NoAnswer, NotFound, PromptTooLong, Unavailable
from docwell.identity import Principal
from docwell.query.ask import Passages, Progress, Question
from docwell.query.compare import ROW_TOKENS, ROWS_CALLS
from docwell.query.document_names import named, names_of
from docwell.query.prompting import load_prompt
from docwell.query.retrieval.scope import Filter
from tests.unit.query.query_fakes import FakeModel
from tests.unit.query.query_world import World, rows

ACME, BOLT, CORA = "firms/ACME_2022.pdf", "firms/BOLT_2022.pdf", "firms/CORA_2022.pdf"
TEXTS = {
    ACME: "Acme employs 310 people in its three plants.",
    BOLT: "Bolt employs 42 people in one workshop.",
    CORA: "Cora sells candles of bees' wax.",
}
ASKED = "How many people does Acme employ, and how many does Bolt?"


@dataclass
class RowModel(FakeModel):
    """Answers by the name of the document in its prompt."""

    says_of: Mapping[str, str] = field(default_factory=dict)
    fails_of: Mapping[str, Exception] = field(default_factory=dict)
    timeouts: list[float] = field(default_factory=list)

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        (name,) = (line for line in messages[-1].content.splitlines() if line.startswith("Document: "))
        key = name.removeprefix("Document: ")
        self.timeouts.append(timeout_s)
        self.says, self.fails = self.says_of.get(key, "NOT FOUND"), self.fails_of.get(key)
        async for piece in super().chat(messages, timeout_s):
            yield piece


def with_firms(**limits: int) -> World:
    world = World(**limits)
    for key, text in TEXTS.items():
        world.add(key, text)
    says = {"ACME 2022": "It employs 310 people [1].", "BOLT 2022": "It employs 42 people [1]."}
    world.row_model = RowModel(says_of=says)
    modes = world.query.modes
    comparison = replace(modes.sources[Mode.COMPARE], model=world.row_model)  # type: ignore[type-var]
    world.query = replace(world.query, modes=replace(modes, sources={**modes.sources, Mode.COMPARE: comparison}))
    return world


def question(text: str = ASKED, **more: object) -> Question:
    return replace(Question(text, mode=Mode.COMPARE), **more)  # type: ignore[arg-type]


def test_each_document_that_the_question_names_is_asked_by_itself_and_has_a_cited_row() -> None:
    world = with_firms()
    report = world.ask(question())
    answer = report.answer
    assert (answer.status, answer.mode) == (AnswerStatus.ANSWERED, Mode.COMPARE)
    assert answer.answer.splitlines() == [
        "- ACME 2022: It employs 310 people [1].",
        "- BOLT 2022: It employs 42 people [2].",
    ]
    assert [(one.marker, one.document) for one in answer.citations] == [(1, ACME), (2, BOLT)]
    assert [sentence.markers for sentence in answer.sentences] == [(1,), (2,)]
    assert all(sentence.supported for sentence in answer.sentences)
    assert [one.document for one in report.inquiry.prompted] == [ACME, BOLT]
    assert answer.prompt_version == load_prompt("compare").version
    prompts = [messages[-1].content for messages in world.row_model.asked]
    assert [("310" in prompt, "42" in prompt) for prompt in prompts] == [(True, False), (False, True)]
    assert world.model.asked == []


def test_a_named_document_has_a_row_even_if_none_of_its_passages_is_near_the_question() -> None:
    world = with_firms()
    for number in range(150):
        world.add(ACME, f"How many people does Acme employ in plant {number}?", page=number + 2)
    world.ask(question())
    (passages,) = (event for event in world.events if isinstance(event, Passages))
    assert {row.document for row in passages.passages} == {ACME, BOLT}


def test_a_document_that_does_not_answer_says_so_and_the_others_count() -> None:
    answer = with_firms().ask(question("people at Acme, Bolt and Cora")).answer
    assert answer.answer.splitlines()[-1] == "- CORA 2022: not found"
    assert (answer.status, len(answer.citations)) == (AnswerStatus.ANSWERED, 2)


def test_where_no_document_answers_the_passages_are_tried_and_all_calls_are_counted() -> None:
    world = with_firms()
    assert isinstance(world.row_model, RowModel)
    world.row_model.says_of = {}
    world.model.says = "Acme employs 310 people [1]."
    answer = world.ask(question()).answer
    assert (answer.status, answer.mode) == (AnswerStatus.ANSWERED, Mode.PASSAGES)
    assert answer.usage.completion_tokens == 2 + 2 + 5


def test_each_row_has_its_share_of_the_time_and_of_the_tokens() -> None:
    world = with_firms(num_ctx=2048, passage_tokens=400)
    assert isinstance(world.row_model, RowModel)
    world.ask(question("people at Acme, Bolt and Cora"))
    shares = [round(timeout / 28.0, 1) for timeout in world.row_model.timeouts]
    assert shares == [0.3, 0.5, 1.0]
    row = 2048 * ROWS_CALLS // 3
    for messages in world.row_model.asked:
        assert sum(len(message.content.split()) for message in messages) + ROW_TOKENS < row


def test_progress_adds_up_the_rows_so_that_started_rows_are_charged() -> None:
    world = with_firms()
    report = world.ask(question())
    spent = [event.report.answer.usage.tokens for event in world.events if isinstance(event, Progress)]
    assert spent[-1] == report.answer.usage.tokens
    at_model = [
        event.report.answer.usage for event in world.events if isinstance(event, Progress) and event.at_model
    ]
    assert len(at_model) == 2
    assert at_model[1].completion_tokens == 5
    assert all(
        event.report.inquiry.prompted == report.inquiry.prompted
        for event in world.events[-4:]
        if isinstance(event, Progress)
    )


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (DeadlineExceeded("ollama", "too slow"), "no time was left"),
        (NoAnswer("ollama", "it only thought", 90, 9), "the model wrote no answer"),
        (PromptTooLong("ollama", "maximum context length", retry_after=None), "the model wrote no answer"),
    ],
)
def test_a_row_without_an_answer_says_so_and_no_row_with_one_is_an_error(failure: Unavailable, text: str) -> None:
    world = with_firms()
    assert isinstance(world.row_model, RowModel)
    world.row_model.fails_of = {"BOLT 2022": failure}
    answer = world.ask(question()).answer
    assert answer.answer.splitlines()[1] == f"- BOLT 2022: {text}"
    world.row_model.fails_of = {"ACME 2022": failure, "BOLT 2022": failure}
    with pytest.raises(type(failure)):
        world.ask(question())
    world.row_model.fails_of = {"BOLT 2022": Unavailable("ollama", "gone")}
    with pytest.raises(Unavailable):
        world.ask(question())


def test_without_a_model_the_rows_are_the_best_sentences() -> None:
    world = with_firms()
    assert isinstance(world.row_model, RowModel)
    gone = ModelMissing("ollama", "ollama pull it")
    world.row_model.fails_of = {"ACME 2022": gone, "BOLT 2022": gone}
    answer = world.ask(question(fallback=True)).answer
    assert (answer.status, answer.fallback_reason) == (AnswerStatus.EXTRACTIVE, gone.problem)
    assert answer.answer.splitlines()[0] == "- ACME 2022: Acme employs 310 people in its three plants [1]."
    assert [one.document for one in answer.citations] == [ACME, BOLT]


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        (question(), [ACME, BOLT]),
        (question("Who employs most people?"), [ACME, BOLT, CORA]),  # few enough: all
        (question(filter=Filter(documents=(ACME, CORA))), [ACME, CORA]),
        (question("Who employs most people?", filter=Filter(title="ware")), [ACME, BOLT]),
    ],
)
def test_a_filter_then_names_then_a_small_scope_decide_which_documents_are_compared(
    asked: Question, rows: list[str]
) -> None:
    world = with_firms()
    for key in (ACME, BOLT):
        world.add(key, TEXTS[key], title="Hardware")
    world.ask(asked)
    assert len(world.row_model.asked) == len(rows)
    (passages,) = (event for event in world.events if isinstance(event, Passages))
    assert list(dict.fromkeys(one.document for one in passages.passages)) == rows


@pytest.mark.parametrize("most", [1, 10])
def test_one_document_and_more_than_eight_are_refused_and_auto_takes_passages(most: int) -> None:
    world = with_firms()
    for number in range(10):
        world.add(f"ships/s{number}.pdf", f"Ship {number} lies in the harbour.")
    keys = tuple(f"ships/s{number}.pdf" for number in range(most))
    with pytest.raises(BadInput, match="2 to 8"):
        world.ask(question("Ships?", filter=Filter(documents=keys)))
    with pytest.raises(BadInput, match="2 to 8"):
        world.ask(question("Ships?", document=keys[0]))


def test_only_live_generations_of_readable_documents_are_compared() -> None:
    world = with_firms()
    stranger = Principal("key:stranger", collections=frozenset({"ships"}))
    world.add("ships/ACME_2022.pdf", "The ship Acme has 4 masts.")
    world.add("ships/BOLT_2022.pdf", "The ship Bolt has 2 masts.")
    world.ask(question(), stranger)
    passages = next(event for event in world.events if isinstance(event, Passages))
    assert {one.document for one in passages.passages} == {"ships/ACME_2022.pdf", "ships/BOLT_2022.pdf"}
    with pytest.raises(NotFound):
        world.ask(question(filter=Filter(documents=(ACME, BOLT))), stranger)
    world.ledger.records[BOLT] = replace(world.ledger.records[BOLT], live_generation="newer")
    assert BOLT not in {one.document for one in world.ask(question()).inquiry.prompted}


def test_a_question_that_leaves_no_room_for_rows_is_an_error_unless_docwell_chose_them() -> None:
    world = World(num_ctx=4096)
    trees = ["alder", "birch", "cedar", "elder", "hazel", "larch", "maple", "rowan"]
    for tree in trees:
        world.add(f"trees/{tree}.pdf", f"The {tree} flowers in spring.")
    long = f"When do {' and '.join(trees)} flower? {'Say it, please. ' * 100}"
    with pytest.raises(BadInput, match="too long"):
        world.ask(question(long))
    assert world.ask(Question(long)).answer.mode is Mode.PASSAGES
    assert world.row_model.asked == []


@pytest.mark.parametrize(("asked", "meant"), rows("named"))
def test_a_document_is_named_if_no_other_has_more_of_the_words(asked: str, meant: list[str]) -> None:
    documents = ["acme-2020.pdf", "acme-2022.pdf", "bolt-2022.pdf", "阿克姆-2022.pdf"]
    assert sorted(named(asked, documents)) == meant
    assert named(asked, []) == {}


def test_a_document_has_the_name_of_its_file_and_no_two_have_the_same() -> None:
    assert names_of(["a/QACheck_2.pdf", "a/bolt.pdf", "b/bolt.pdf"]) == {
        "a/QACheck_2.pdf": "QACheck 2",
        "a/bolt.pdf": "a/bolt.pdf",
        "b/bolt.pdf": "b/bolt.pdf",
    }
    (name,) = names_of(["a/Bolt [1] https://evil.example <b>now</b> " + "and on " * 40]).values()
    assert "[" not in name.replace("[.]", "")
    assert "://" not in name
    assert "<b>" not in name
    assert len(name) <= 80
