"""The CSV file of `docwell eval`: encodings, separators, and errors that name line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from docwell.cli.evaluation.questions import EvalQuestion, read_questions
from docwell.cli.settings import ExitCode, Failure


def read(content: str | bytes) -> list[EvalQuestion]:
    path = Path("q.csv")
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_questions(path)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_spreadsheets_write_is_read(encoding: str, separator: str, ending: str) -> None:
    cells = ['"Wie heißt es, ""groß""; und wann?"', "h/é.pdf", '"3,7-9"', '"28.5|28,5 Grad"']
    lines = [separator.join(("Question", "document", " page", "EXPECTED", "")), separator.join((*cells, ""))]
    (one,) = read((ending.join([*lines, separator * 4]) + ending).encode(encoding))
    assert one.question == 'Wie heißt es, "groß"; und wann?'
    assert (one.document, one.pages, one.expected) == ("h/é.pdf", ((3, 3), (7, 9)), ("28.5", "28,5 Grad"))
    assert one.line == 2


def test_lines_are_counted_over_a_cell_of_several_lines() -> None:
    text = 'question,expected\n"one\ntwo",x\n\nthree,y\nfour,\n'
    with pytest.raises(Failure, match="line 6, column expected: nothing to measure") as failed:
        read(text)
    assert failed.value.code == ExitCode.USAGE
    assert [one.line for one in read(text.replace("four,", "four,z"))] == [2, 5, 6]


def test_a_row_may_lack_its_last_cells_and_truth_values_are_of_a_language() -> None:
    ones = read("question,unanswerable,expected\na,WAHR\nb,FALSCH,c\nd,,e\n")
    assert [(one.unanswerable, one.judged) for one in ones] == [(True, True), (False, True), (False, True)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column “question”"),
        ("\n", "line 1: no column “question”"),
        ("question,expected\n", "has no questions"),
        ("ask,expected\na,b\n", "line 1: no column “question”"),
        ("question,expcted\na,b\n", "line 1, column expcted: unknown"),
        ("question,,expected\na,,b\n", r"line 1, column \(blank\): unknown"),
        ("question,expected,expected\na,b,c\n", "line 1, column expected: it is there twice"),
        ("question,expected\n,b\n", "line 2, column question: it is blank"),
        ("question,expected\na,...\n", "line 2, column expected: '...' has no word and no figure"),
        ("question,expected\na,b,c\n", "line 2: 3 cells for 2 columns"),
        ('question,expected\na,"b\nc\n', "line 2: unexpected end of data: check its quotation marks"),
        ('question,expected\na,"b"c\n', "line 2: .*: check its quotation marks"),
        ("question,page\na,3\n", "line 2, column page: a page needs a document"),
        ("question,document,page\na,b,0\n", "line 2, column page: pages such as 3 or 3,7-9"),
        ("question,document,page\na,b,9-7\n", "line 2, column page: pages such as"),
        ("question,document,page\na,b,3.0\n", "line 2, column page: pages such as"),
        ("question,unanswerable\na,perhaps\n", "line 2, column unanswerable: true or false"),
        ("question,unanswerable,expected\na,true,b\n", "line 2, column unanswerable: such a question"),
        ("question,expected,language\na,b,it\n", "line 2, column language: one of en, de, fr"),
        ("question,expected\na,b\nc,d\na,b\n", "line 4: the same as line 2"),
        (b"question,expected\na,b\nc,d\xe9\n", "line 3: not utf-8: save the file as “CSV UTF-8”"),
        (b"\xff\xfeq", "not utf-16"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_column(text: str | bytes, message: str) -> None:
    with pytest.raises(Failure, match=message) as failed:
        read(text)
    assert failed.value.code == ExitCode.USAGE


def test_several_wrong_cells_are_told_at_once() -> None:
    with pytest.raises(Failure) as failed:
        read("question,page\n" + "".join(f"q{number},3\n" for number in range(7)))
    assert failed.value.detail.count("column page") == 5
    assert "; and 2 more. Nothing was asked" in failed.value.detail


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"cannot read .*: No such file") as failed:
        read_questions(tmp_path / "none.csv")
    assert failed.value.code == ExitCode.USAGE
