"""`docwell eval`: reads the questions, asks, judges, continues and compares, against a fake API."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docwell.cli.evaluation.run import COLUMNS, EvalQuestion, compare, read_questions, read_run
from docwell.cli.evaluation.run import Run as Stored
from docwell.cli.evaluation.verdicts import says
from docwell.cli.settings import ExitCode, Failure
from tests.unit.cases import rows
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import ANSWER, FakeApi, serving

KEY = "handbooks/é.pdf"
ROLL_BACK, PAGED, COST = "When to roll back?", "Who is paged?", "What does it cost?"
QUESTIONS = f"""question,document,page,expected,unanswerable
{ROLL_BACK},{KEY},9,five minutes|5 minutes,
{PAGED},{KEY},2-3,the owner,
Where is it?,{KEY},,,
{COST},,,,true
"""
REFUSED = ANSWER | {"status": "refused", "answer": "The documents do not say.", "citations": []}


class EvalApi(FakeApi):
    """Answers each question by its text; `down` has the questions that fail."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, dict[str, Any]] = {COST: REFUSED}
        self.down: set[str] = set()
        self.documents[KEY] = [{"document": KEY, "status": "INDEXED"}]

    def respond(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        body = self.requests[-1][2] or {}
        if body.get("question") in self.down:
            return 503, {"title": "Unavailable", "detail": "no model host", "status": 503}
        if path == "/v1/search":
            places = [("handbooks/b.pdf", 1), (KEY, 9)]
            return 200, {"passages": [{"document": key, "page": page} for key, page in places], "documents": None}
        if path == "/v1/query":
            return 200, self.answers.get(body["question"], ANSWER)
        return super().respond(method, path)

    @property
    def questions(self) -> list[str]:
        return [body["question"] for _, path, body, _ in self.requests if path == "/v1/query"]


@pytest.fixture
def api() -> Iterator[EvalApi]:
    fake = EvalApi()
    with serving(fake):
        yield fake


@pytest.fixture
def questions() -> Path:
    path = Path("questions.csv")
    path.write_text(QUESTIONS, encoding="utf-8")
    return path


def rows_of(folder: str) -> dict[str, dict[str, Any]]:
    return {row["question"]: row for row in read_run(Path(folder)).rows.values()}


# --- the file of questions ---


def read(content: str | bytes) -> list[EvalQuestion]:
    path = Path("q.csv")
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_questions(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_files_of_spreadsheets_are_read(encoding: str, separator: str, ending: str) -> None:
    cells = ['"Wie heißt es, ""groß""; und wann?"', "h/é.pdf", '"3,7-9"', '"28.5|28,5 Grad"']
    lines = [separator.join(("Question", "document", " page", "EXPECTED", "")), separator.join((*cells, ""))]
    (question,) = read((ending.join([*lines, separator * 4]) + ending).encode(encoding))
    assert question.cells["question"] == 'Wie heißt es, "groß"; und wann?'
    assert (question.cells["document"], question.pages) == ("h/é.pdf", ((3, 3), (7, 9)))
    assert (question.expected, question.line) == (("28.5", "28,5 Grad"), 2)


def test_a_row_may_lack_its_last_cells_and_truth_values_are_of_a_language() -> None:
    rows = read("question,unanswerable,expected\na,WAHR\nb,FALSCH,c\nd,,e\n")
    assert [(row.cells["unanswerable"], row.judged) for row in rows] == [
        (True, True),
        (False, True),
        (False, True),
    ]


@pytest.mark.parametrize(("text", "message"), rows(__file__, "wrong_question_files"))
def test_a_wrong_file_is_refused_with_line_and_column(text: str, message: str) -> None:
    with pytest.raises(Failure, match=message) as failed:
        read(text)
    assert failed.value.code == ExitCode.USAGE


def test_a_file_in_another_encoding_is_refused_with_its_line() -> None:
    with pytest.raises(Failure, match="line 3: not UTF-8: save the file as “CSV UTF-8”"):
        read(b"question,expected\na,b\nc,d\xe9\n")


# --- a run ---


def test_a_run_judges_answers_and_ranks(run: Run, api: EvalApi, questions: Path) -> None:
    result = run("eval", questions, "--out", "a", api=api)
    assert result.exit_code == 0, result.stderr
    rows = rows_of("a")
    verdicts = ["right", "wrong, not marked", None, "rightly refused"]
    assert [row.get("verdict") for row in rows.values()] == verdicts
    ranks = {name: rows[ROLL_BACK][name] for name in ("document_rank", "page_rank", "cites_page")}
    assert ranks == {"document_rank": 2, "page_rank": 2, "cites_page": True}
    assert rows[PAGED]["page_rank"] is None
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert {"hit@3: document 3 of 3 (100 %)", "answers: right 1 of 2 (50 %)"} <= set(lines)


def test_the_truth_is_not_sent_and_retrieval_alone_uses_no_model(run: Run, api: EvalApi, questions: Path) -> None:
    run("eval", questions, "--out", "a", api=api)
    assert api.questions == [ROLL_BACK, PAGED, COST]
    bodies = {path: body for _, path, body, _ in api.requests if body}
    assert bodies["/v1/search"] == {"question": "Where is it?", "top_k": 5}
    assert bodies["/v1/query"] == {"question": COST, "fallback": "none"}


def test_a_failed_question_ends_with_1_and_is_asked_again(run: Run, api: EvalApi, questions: Path) -> None:
    api.down = {PAGED}
    api.answers[COST] = REFUSED | {"partial": True}
    api.answers[ROLL_BACK] = {"hello": "world"}
    result = run("eval", questions, "--out", "a", api=api)
    assert (result.exit_code, "3 questions failed" in result.stderr) == (1, True)
    errors = {question: str(row["error"]) for question, row in rows_of("a").items()}
    assert "no model host" in errors[PAGED]
    assert "not searched" in errors[COST]
    assert "not an answer of docwell" in errors[ROLL_BACK]
    api.down, api.answers, api.requests = set(), {COST: REFUSED}, []
    result = run("eval", questions, "--out", "a", api=api)
    assert (result.exit_code, api.questions) == (0, [ROLL_BACK, PAGED, COST])
    assert "1 of 4 are in a already" in result.stderr
    assert rows_of("a")[PAGED]["verdict"] == "wrong, not marked"


def test_a_run_stops_after_failures_in_a_row_and_loses_nothing(run: Run, api: EvalApi) -> None:
    texts = [f"Question {number}?" for number in range(8)]
    Path("q.csv").write_text("question,expected\n" + "".join(f"{text},minutes\n" for text in texts), "utf-8")
    api.down = set(texts[2:])
    result = run("eval", "q.csv", "--out", "a", api=api)
    assert (result.exit_code, "stopped after 3 failures in a row" in result.stderr) == (1, True)
    assert api.questions == texts[:5]
    assert len(rows_of("a")) == 5
    api.down = set()
    assert run("eval", "q.csv", "--out", "a", api=api).exit_code == 0
    assert [row["verdict"] for row in rows_of("a").values()] == ["right"] * 8


def test_a_row_that_was_cut_off_is_asked_again(run: Run, api: EvalApi, questions: Path) -> None:
    run("eval", questions, "--out", "a", api=api)
    path = Path("a/rows.jsonl")
    path.write_text(path.read_text()[:-40])
    assert len(rows_of("a")) == 3
    assert run("eval", questions, "--out", "a", api=api).exit_code == 0
    assert len(rows_of("a")) == 4


def test_a_folder_with_the_run_of_another_file_is_left_alone(run: Run, api: EvalApi, questions: Path) -> None:
    run("eval", questions, "--out", "a", api=api)
    before = Path("a/rows.jsonl").read_bytes()
    questions.write_text(QUESTIONS + "One more?,,,yes,\n", "utf-8")
    result = run("eval", questions, "--out", "a", api=api)
    assert (result.exit_code, "give another --out" in result.stderr) == (2, True)
    assert Path("a/rows.jsonl").read_bytes() == before


def test_a_document_that_is_not_indexed_stops_before_the_first_question(run: Run, api: EvalApi) -> None:
    Path("q.csv").write_text(f"question,document\nWhere?,{KEY}\nWhen?,handbooks/c.pdf\n", "utf-8")
    result = run("eval", "q.csv", api=api)
    assert result.exit_code == 2
    assert "line 3, column document: handbooks/c.pdf is unknown" in result.stderr
    assert not any(path == "/v1/search" for _, path, _, _ in api.requests)


@pytest.mark.parametrize(("least", "code"), [("60", 0), ("70", 5)])
def test_too_few_right_answers_end_with_5(run: Run, api: EvalApi, questions: Path, least: str, code: int) -> None:
    assert run("eval", questions, "--at-least", least, api=api).exit_code == code


# --- two runs ---


def test_two_runs_are_compared_in_pairs_and_a_worse_second_run_ends_with_5(
    run: Run, api: EvalApi, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("eval", questions, "--out", "a", api=api)
    api.answers[PAGED] = ANSWER | {"answer": "Page the owner [1].", "prompt_version": "def"}
    run("eval", questions, "--out", "b", api=api)
    monkeypatch.setenv("DOCWELL_DATA", "no-stack-runs-here")  # a comparison needs no server
    result = run("eval", "--compare", "a", "b", "--json")
    assert result.exit_code == 0, result.stderr
    comparison = json.loads(result.stdout)
    assert [comparison[name] for name in ("better", "worse", "same", "by_chance")] == [1, 0, 3, 1]
    assert comparison["changed"] == [[PAGED, "wrong, not marked", "right"]]
    assert PAGED in run("eval", "--compare", "a", "b").stdout
    assert run("eval", "--compare", "b", "a").exit_code == 5


@pytest.mark.parametrize("line", rows(__file__, "eval_usage"))
def test_wrong_usage_ends_with_2(run: Run, api: EvalApi, questions: Path, line: str) -> None:
    run("eval", questions, "--out", "a", api=api)
    result = run("eval", *line.split(), api=api)
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)


@pytest.mark.parametrize(
    ("better", "worse", "chance"), [(0, 0, 1), (1, 0, 1), (5, 0, 0.0625), (4, 4, 1), (1, 6, 0.125)]
)
def test_the_sign_test_says_what_chance_alone_gives(better: int, worse: int, chance: float) -> None:
    def stored(verdicts: list[str]) -> Stored:
        cells = {**dict.fromkeys(COLUMNS, ""), "error": None}
        rows = ({**cells, "question": line, "verdict": verdict} for line, verdict in enumerate(verdicts))
        return Stored(Path(), {}, dict(enumerate(rows)))

    before = stored(["wrong, not marked"] * better + ["right"] * worse)
    after = stored(["right"] * better + ["wrong, not marked"] * worse)
    assert compare(before, after)["by_chance"] == pytest.approx(chance)


# --- wordings ---


CASES = tomllib.loads(Path(__file__).with_name("wordings.toml").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['text']!r} says {case['wording']!r}")
def test_a_text_says_a_wording_in_any_notation(case: dict[str, Any]) -> None:
    assert says(case["text"], case["wording"], case["language"]) is case["says"]
