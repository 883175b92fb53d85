"""`docwell eval`: asks, judges, continues, reports and compares, against a fake API."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from docwell.cli.evaluation.results import Paired, csv_of, html_of
from docwell.cli.evaluation.run import read_run
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import ANSWER, FakeApi, serving

KEY = "handbooks/é.pdf"
QUESTIONS = f"""question,document,page,expected,unanswerable
When to roll back?,{KEY},9,five minutes|5 minutes,
Who is paged?,{KEY},2-3,the owner,
Where is it?,{KEY},,,
What does it cost?,,,,true
"""
REFUSED = ANSWER | {"status": "refused", "answer": "The documents do not say.", "citations": []}


class EvalApi(FakeApi):
    """Answers each question by its text; `down` has the questions that fail."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, dict[str, Any]] = {"What does it cost?": REFUSED}
        self.places: list[tuple[str, int]] = [("handbooks/b.pdf", 1), (KEY, 9)]
        self.down: set[str] = set()
        self.documents[KEY] = [{"document": KEY, "status": "INDEXED"}]

    def respond(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        body = self.requests[-1][2] or {}
        if body.get("question") in self.down:
            return 503, {"title": "Unavailable", "detail": "no model host", "status": 503}
        if path == "/v1/search":
            return 200, {
                "passages": [{"document": key, "page": page} for key, page in self.places],
                "documents": None,
            }
        if path == "/v1/query":
            return 200, self.answers.get(body["question"], ANSWER)
        return super().respond(method, path)

    @property
    def asked(self) -> list[str]:
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


def rows_of(folder: str | Path) -> dict[str, dict[str, Any]]:
    return {row["question"]: row for row in read_run(Path(folder)).rows}


def test_a_run_judges_answers_and_ranks(run: Run, api: EvalApi, questions: Path) -> None:
    result = run("eval", questions, "--out", "a", api=api)
    assert result.exit_code == 0, result.stderr
    rows = rows_of("a")
    verdicts = {question: row.get("verdict") for question, row in rows.items()}
    assert verdicts == {
        "When to roll back?": "right",
        "Who is paged?": "wrong, not marked",
        "Where is it?": None,
        "What does it cost?": "rightly refused",
    }
    assert [rows["When to roll back?"][name] for name in ("document_rank", "page_rank", "cites_page")] == [
        2,
        2,
        True,
    ]
    assert rows["Who is paged?"]["page_rank"] is None
    figures = {
        name.strip(): value for line in result.stdout.splitlines() for name, _, value in [line.partition("  ")]
    }
    shown = {name: " ".join(value.split()) for name, value in figures.items()}
    assert shown["hit@1: document"] == "0 of 3 (0 %)"
    assert shown["hit@3: document"] == "3 of 3 (100 %)"
    assert shown["hit@5: page"] == "1 of 2 (50 %)"
    assert shown["answers: right"] == "1 of 2 (50 %)"
    assert shown["answers: rightly refused"] == "1 of 1 (100 %)"
    assert shown["prompt tokens"] == "3,600"


def test_the_truth_is_not_sent_and_retrieval_alone_asks_no_model(run: Run, api: EvalApi, questions: Path) -> None:
    run("eval", questions, "--out", "a", api=api)
    assert "Where is it?" not in api.asked
    assert len(api.asked) == 3
    bodies = {path: body for _, path, body, _ in api.requests if body}
    assert bodies["/v1/search"] == {"question": "Where is it?", "top_k": 5}
    assert bodies["/v1/query"] == {"question": "What does it cost?", "fallback": "none"}


def test_a_collection_is_searched_and_asked(run: Run, api: EvalApi) -> None:
    Path("q.csv").write_text(f"question,collection,document,expected\nHow?,handbooks,{KEY},minutes\n", "utf-8")
    assert run("eval", "q.csv", api=api).exit_code == 0
    assert {body["collection"] for _, path, body, _ in api.requests if body} == {"handbooks"}
    assert Path("q-eval/rows.jsonl").exists()  # the default folder


def test_a_failed_question_ends_with_1_and_is_asked_again(run: Run, api: EvalApi, questions: Path) -> None:
    api.down = {"Who is paged?"}
    result = run("eval", questions, "--out", "a", api=api)
    assert result.exit_code == 1
    assert "1 questions failed" in result.stderr
    assert "no model host" in rows_of("a")["Who is paged?"]["error"]
    before = len(api.asked)
    api.down = set()
    result = run("eval", questions, "--out", "a", api=api)
    assert result.exit_code == 0
    assert api.asked[before:] == ["Who is paged?"]
    assert "3 of 4 are in a already" in result.stderr
    assert rows_of("a")["Who is paged?"]["verdict"] == "wrong, not marked"


def test_an_answer_from_a_part_of_the_index_is_not_judged(run: Run, api: EvalApi, questions: Path) -> None:
    api.answers["What does it cost?"] = REFUSED | {"partial": True}
    assert run("eval", questions, "--out", "first", api=api).exit_code == 1
    row = rows_of("first")["What does it cost?"]
    assert (row["verdict"], "not searched" in row["error"]) == ("failed", True)


def test_a_run_stops_after_failures_in_a_row_and_loses_nothing(run: Run, api: EvalApi) -> None:
    asked = [f"Question {number}?" for number in range(8)]
    Path("q.csv").write_text("question,expected\n" + "".join(f"{one},minutes\n" for one in asked), "utf-8")
    api.down = set(asked[2:])
    result = run("eval", "q.csv", "--out", "a", api=api)
    assert result.exit_code == 1
    assert "stopped after 3 failures in a row" in result.stderr
    assert api.asked == asked[:5]
    assert "<td>5 of 8</td>" in Path("a/report.html").read_text("utf-8")
    api.down = set()
    assert run("eval", "q.csv", "--out", "a", api=api).exit_code == 0
    assert [row["verdict"] for row in rows_of("a").values()] == ["right"] * 8


def test_a_row_that_was_cut_off_is_asked_again(run: Run, api: EvalApi, questions: Path) -> None:
    run("eval", questions, "--out", "a", api=api)
    path = Path("a/rows.jsonl")
    path.write_text(path.read_text()[:-40])
    assert len(read_run(Path("a")).rows) == 3
    assert run("eval", questions, "--out", "a", api=api).exit_code == 0
    assert len(read_run(Path("a")).rows) == 4


def test_a_folder_with_the_run_of_another_file_is_left_alone(run: Run, api: EvalApi, questions: Path) -> None:
    run("eval", questions, "--out", "a", api=api)
    before = Path("a/rows.jsonl").read_bytes()
    questions.write_text(QUESTIONS + "One more?,,,yes,\n", "utf-8")
    result = run("eval", questions, "--out", "a", api=api)
    assert result.exit_code == 2
    assert "give another --out" in result.stderr
    assert Path("a/rows.jsonl").read_bytes() == before


def test_a_document_that_is_not_indexed_stops_before_the_first_question(run: Run, api: EvalApi) -> None:
    Path("q.csv").write_text(f"question,document\nWhere?,{KEY}\nWhen?,handbooks/c.pdf\n", "utf-8")
    result = run("eval", "q.csv", api=api)
    assert result.exit_code == 2
    assert "line 3, column document: handbooks/c.pdf is unknown" in result.stderr
    assert not any(path == "/v1/search" for _, path, _, _ in api.requests)


def test_another_server_is_a_failure_of_its_question(run: Run, api: EvalApi, questions: Path) -> None:
    api.answers["Who is paged?"] = {"hello": "world"}
    assert run("eval", questions, "--out", "a", api=api).exit_code == 1
    assert "not an answer of docwell" in rows_of("a")["Who is paged?"]["error"]


@pytest.mark.parametrize(("least", "code"), [("60", 0), ("70", 5)])
def test_too_few_right_answers_end_with_5(run: Run, api: EvalApi, questions: Path, least: str, code: int) -> None:
    assert run("eval", questions, "--at-least", least, api=api).exit_code == code


def test_the_report_escapes_html_and_has_no_script(run: Run, api: EvalApi, questions: Path) -> None:
    attack = '<script>alert(1)</script><img src="//evil.example/x">\u202e & five minutes'
    api.answers["When to roll back?"] = ANSWER | {"answer": attack}
    run("eval", questions, "--out", "a", api=api)
    page = Path("a/report.html").read_text("utf-8")
    tags, texts = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)

        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader().feed(page)
    assert not {"script", "img", "link", "iframe", "a"} & set(tags)
    assert attack.replace("\u202e", "") in texts
    assert "default-src 'none'" in page


def test_a_cell_of_the_table_is_no_formula(run: Run, api: EvalApi, questions: Path) -> None:
    api.answers["When to roll back?"] = ANSWER | {"answer": '=HYPERLINK("//evil.example";"five minutes")'}
    run("eval", questions, "--out", "a", api=api)
    with Path("a/rows.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["question"] for row in rows] == [row["question"] for row in read_run(Path("a")).rows]
    assert rows[0]["answer"].startswith("'=")
    assert rows[0]["citations"] == f"{KEY}, page 9"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_a_report_of_no_rows_and_of_lone_surrogates_is_written(run: Run, api: EvalApi, questions: Path) -> None:
    api.answers["When to roll back?"] = ANSWER | {"answer": "five minutes \ud800"}
    run("eval", questions, "--out", "a", api=api)
    assert "five minutes" in Path("a/report.html").read_text("utf-8")
    empty = read_run(Path("a"))
    empty = type(empty)(empty.head, ())
    assert "questions.csv" in html_of(empty)
    assert csv_of(()).startswith("line,question")


def compared(run: Run, api: EvalApi, questions: Path, second: dict[str, dict[str, Any]]) -> Any:
    run("eval", questions, "--out", "a", api=api)
    api.answers |= second
    run("eval", questions, "--out", "b", api=api)
    return run("eval", "--compare", "a", "b", "--json")


def test_two_runs_are_compared_in_pairs(run: Run, api: EvalApi, questions: Path) -> None:
    better = ANSWER | {"answer": "Page the owner [1].", "prompt_version": "def"}
    result = compared(run, api, questions, {"Who is paged?": better})
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    counts = {one["name"]: (one["better"], one["worse"], one["same"]) for one in found["counts"]}
    assert counts["answers: right or rightly refused"] == (1, 0, 2)
    assert counts["rank of the page"] == (0, 0, 2)
    assert [one["question"] for one, _ in found["changed"]] == ["Who is paged?"]
    text = run("eval", "--compare", "a", "b").stdout
    assert "prompt version abc, def" in text
    assert "Who is paged?" in text


def test_a_worse_second_run_ends_with_5(run: Run, api: EvalApi, questions: Path) -> None:
    assert compared(run, api, questions, {"When to roll back?": REFUSED}).exit_code == 5


def test_questions_of_one_run_only_are_counted(run: Run, api: EvalApi, questions: Path) -> None:
    run("eval", questions, "--out", "a", api=api)
    questions.write_text(QUESTIONS + "More?,,,minutes,\n", "utf-8")
    api.down = {"Where is it?"}
    run("eval", questions, "--out", "b", api=api)
    assert json.loads(run("eval", "--compare", "a", "b", "--json").stdout)["unpaired"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (".",),
        ("/",),
        ("..",),
        ("",),
        ("missing/q.csv",),
        ("q.csv", "--compare", "a", "b"),
        ("--compare", "a", "missing"),
        ("--compare", "a", "b", "--out", "c"),
        ("--compare", "a", "b", "--at-least", "0"),
    ],
)
def test_wrong_usage_ends_with_2(run: Run, api: EvalApi, questions: Path, arguments: tuple[str, ...]) -> None:
    run("eval", questions, "--out", "a", api=api)
    run("eval", questions, "--out", "b", api=api)
    result = run("eval", *arguments, api=api)
    assert (result.exit_code, result.exception and type(result.exception)) == (2, SystemExit)


def test_a_comparison_needs_no_server(
    run: Run, api: EvalApi, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("eval", questions, "--out", "a", api=api)
    monkeypatch.setenv("DOCWELL_DATA", "no-stack-runs-here")
    assert run("eval", "--compare", "a", "a").exit_code == 0


def test_the_sign_test_says_what_chance_alone_gives() -> None:
    assert [Paired("", *counts, 0).chance for counts in ((0, 0), (1, 0), (5, 0), (4, 4))] == [1, 1, 0.0625, 1]
