"""Questions over HTTP to the local stack with a small real model: structure and sources."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fpdf import FPDF

from docwell.http import sse
from tests.e2e.conftest import MODEL, Doors
from tests.e2e.test_documents import pdf

pytestmark = pytest.mark.e2e
EXAMPLES = Path(__file__).parents[2] / "examples"
OFF_TOPIC = "Which goalkeeper saved the penalty in the 1954 cup final?"


@pytest.fixture(scope="module")
def examples(doors: Doors) -> list[dict[str, str]]:
    """Index the example PDFs and return their questions."""
    keys = {path.relative_to(EXAMPLES).as_posix(): path for path in EXAMPLES.rglob("*.pdf")}
    versions = {key: doors.put(key, path) for key, path in keys.items()}
    for key, version in versions.items():
        assert doors.settled(key, version)["status"] == "INDEXED"
    questions: list[dict[str, str]] = json.loads((EXAMPLES / "questions.json").read_text())
    return questions


def test_an_answer_has_the_promised_shape_and_its_sources_are_retrieved_pages(
    doors: Doors, examples: list[dict[str, str]]
) -> None:
    for example in examples:
        response = doors.ask(example["question"], document=example["document"])
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["model"] == MODEL
        assert answer["usage"]["prompt_tokens"] > 100
        assert answer["timings_ms"]["generate"] > 0
        for citation in answer["citations"]:
            assert citation["document"] == example["document"]
            assert f"[{citation['marker']}]" in answer["answer"]
        if answer["status"] == "answered":
            assert answer["citations"]
            return
    pytest.fail("the model answered no question")


def test_a_question_with_no_relevant_passage_is_refused_without_the_model(
    doors: Doors, examples: list[dict[str, str]]
) -> None:
    answer = doors.ask(OFF_TOPIC).json()
    assert (answer["status"], answer["citations"]) == ("refused", [])
    assert answer["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "estimated_prompt_tokens": 0}
    assert answer["timings_ms"]["generate"] == 0


def test_a_list_cites_a_document_of_each_kind_at_its_unit(doors: Doors) -> None:
    paths = sorted((EXAMPLES / "pump-station").iterdir())
    versions = {f"pump-station/{path.name}": doors.put(f"pump-station/{path.name}", path) for path in paths}
    for key, version in versions.items():
        assert doors.settled(key, version)["status"] == "INDEXED"
    question = 'Which documents mention "pump P-204"?'
    answer = doors.ask(question, collection="pump-station", mode="list").json()
    units = {
        citation["document"].rpartition(".")[2]: citation["unit"]["label"] for citation in answer["citations"]
    }
    assert set(units) == {"csv", "docx", "eml", "html", "md", "pptx", "txt", "xlsx"}
    assert (units["docx"], units["eml"]) == (
        "Service manual > Yearly service > Seals > paragraph 5",
        "attachment items.csv, A2:C2",
    )


def test_a_deleted_document_no_longer_answers(doors: Doors) -> None:
    key, question = "gone/harbour.pdf", "When does the harbour ferry leave?"
    doors.settled(key, doors.put(key, pdf("The harbour ferry leaves at a quarter past nine.")))
    assert doors.ask(question, collection="gone").json()["usage"]["prompt_tokens"] > 0
    doors.delete(key)
    doors.settled(key, None)
    assert doors.ask(question, collection="gone").status_code == 404
    assert doors.ask(question, document=key).status_code == 404


def test_a_filter_uses_pdf_metadata_and_bucket_tags_within_seconds(doors: Doors) -> None:
    key, question = "filtered/ferry.pdf", "When does the island ferry leave?"
    document = FPDF()
    document.set_title("Timetable of the island")
    document.set_creation_date(datetime(2026, 3, 1, tzinfo=UTC))
    document.set_font("helvetica", size=12)
    document.add_page()
    document.multi_cell(0, 6, "The island ferry leaves at a quarter past nine.")
    answer = doors.s3.put_object(
        Bucket=doors.stack.bucket, Key=key, Body=bytes(document.output()), Metadata={"team": "harbour"}
    )
    doors.settled(key, answer["VersionId"])

    def asks_the_model(**wanted: Any) -> bool:
        response = doors.ask(question, filter={"prefix": "filtered/", **wanted})
        assert response.status_code == 200, response.text
        return bool(response.json()["usage"]["prompt_tokens"])

    assert asks_the_model(title="timetable", created_to="2026-03-01", metadata={"team": "harbour"})
    assert not asks_the_model(created_from="2026-03-02")
    assert not asks_the_model(tags={"stage": "final"})
    doors.s3.put_object_tagging(
        Bucket=doors.stack.bucket, Key=key, Tagging={"TagSet": [{"Key": "stage", "Value": "final"}]}
    )
    deadline = time.monotonic() + 60
    while not (doors.document(key) or {}).get("tags"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert asks_the_model(tags={"stage": "final"})


def test_an_answer_is_streamed_while_it_is_made(doors: Doors, examples: list[dict[str, str]]) -> None:
    asked = {"question": examples[0]["question"], "document": examples[0]["document"], "stream": True}
    with doors.http.stream("POST", "/v1/query", json=asked) as response:
        assert response.headers["content-type"] == sse.CONTENT_TYPE
        events = [name for name, _ in sse.read(response.iter_lines())]
    assert (events[0], events[-1]) == ("passages", "answer")


def test_a_client_that_disconnects_frees_the_model(doors: Doors, examples: list[dict[str, str]]) -> None:
    asked = {"question": examples[0]["question"], "document": examples[0]["document"], "stream": True}
    for _ in range(4):  # more than there are environments: none may stay busy
        with doors.http.stream("POST", "/v1/query", json=asked) as response:
            next(response.iter_lines())
    assert doors.ask(OFF_TOPIC).status_code == 200


def test_no_log_contains_a_question_or_document_text(doors: Doors, examples: list[dict[str, str]]) -> None:
    doors.ask("Does the word xylographer occur anywhere?")
    key = "logs/words.pdf"
    doors.settled(key, doors.put(key, pdf("A zymurgist and a xylographer met.")))
    logs = [path.read_text(errors="replace") for path in (Path(doors.stack.data) / "logs").iterdir()]
    assert any("answered" in log for log in logs)
    assert not any("xylographer" in log or "zymurgist" in log for log in logs)


def test_the_metrics_count_a_question_without_its_text_or_caller(doors: Doors) -> None:
    assert doors.ask(OFF_TOPIC).status_code == 200
    counted = r'^docwell_refusals_total{gen_ai_request_model=".+",service="query"} [1-9]'
    deadline, token = time.monotonic() + 10, {"Authorization": f"Bearer {doors.stack.token}"}
    metrics = f"{doors.stack.metrics}/metrics"
    while not re.search(counted, text := httpx.get(metrics, headers=token).text, re.MULTILINE):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    assert "docwell_metric_lines_damaged_total 0.0" in text
    for word in ("goalkeeper", "key:", ".pdf", doors.stack.api_key):
        assert word not in text
