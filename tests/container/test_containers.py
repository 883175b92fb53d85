"""The built image and the built zip with its layers do the main job, in containers like Lambda's."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fpdf import FPDF

from infra.container import sam
from tests.container.parts import BUCKET, Cloud, IngestContainer
from tests.container.stand_ins import ANSWER

pytestmark = pytest.mark.container

KEY = "manuals/boiler é + 1.pdf"
PAGES = (
    "This manual describes the house and its rooms. The kitchen has two windows and a red door.",
    "The boiler in the cellar has to be drained every 14 weeks. Close the main valve before you start.",
    "The garden has apple trees and a pond. The pond freezes in cold winters.",
)
QUESTION = "How often does the boiler have to be drained?"

Record = Callable[[str, object], None]


def pdf(*pages: str) -> bytes:
    document = FPDF()
    document.set_font("helvetica", size=12)
    for text in pages:
        document.add_page()
        document.multi_cell(0, text=text)
    return bytes(document.output())


def status_of(cloud: Cloud, key: str) -> str:
    rows = cloud.client("dynamodb").scan(TableName="docwell-ledger")["Items"]
    return next(str(row["status"]["S"]) for row in rows if row["document"]["S"] == key)


def uploaded(cloud: Cloud, key: str, body: bytes) -> dict[str, Any]:
    cloud.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)
    return cloud.notification()


@pytest.fixture(scope="module")
def manual(cloud: Cloud, ingest: IngestContainer) -> float:
    """The manual, indexed by the image. Gives the seconds that the first invocation took, the start included."""
    event = uploaded(cloud, KEY, pdf(*PAGES))
    before = time.monotonic()
    answer = ingest.invoke(event)
    seconds = time.monotonic() - before
    assert answer == {"batchItemFailures": []}, ingest.logs()
    return seconds


def test_the_image_indexes_an_uploaded_pdf(
    cloud: Cloud, ingest: IngestContainer, manual: float, record_property: Record
) -> None:
    record_property("ingest image, first event: 3 pages, cold (s)", round(manual, 2))
    assert status_of(cloud, KEY) == "INDEXED", ingest.logs()


def test_the_image_rejects_what_is_no_pdf_and_goes_on(cloud: Cloud, ingest: IngestContainer) -> None:
    assert ingest.invoke(uploaded(cloud, "a.pdf", b"not a pdf")) == {"batchItemFailures": []}
    assert status_of(cloud, "a.pdf") == "REJECTED", ingest.logs()


@pytest.mark.usefixtures("manual")
def test_the_query_function_with_its_layers_answers_and_cites_the_page(
    api: httpx.Client, record_property: Record
) -> None:
    request = {"question": QUESTION, "collection": "manuals"}
    before = time.monotonic()
    answer = api.post("/v1/query", json=request)
    record_property(
        "query function, first question, container start included (s)", round(time.monotonic() - before, 2)
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["status"], body["answer"]) == ("answered", ANSWER)
    citation = body["citations"][0]
    assert (citation["document"], citation["page"]) == (KEY, 2)
    timings = api.post("/v1/query", json=request).json()["timings_ms"]
    record_property("query function, warm, without the model's time (ms)", timings["total"] - timings["generate"])


@pytest.mark.usefixtures("manual")
def test_the_query_function_reports_its_dependencies_well(api: httpx.Client) -> None:
    answer = api.get("/v1/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok"), answer.text


@pytest.mark.usefixtures("manual")
def test_a_document_event_logs_no_document_text(ingest: IngestContainer) -> None:
    logs = ingest.logs()
    assert '"Docwell"' in logs  # the metrics are there
    assert "boiler in the cellar" not in logs


def test_neither_function_has_torch_or_what_was_trimmed() -> None:
    command = ["docker", "run", "--rm", "--entrypoint", "ls", sam.INGEST_IMAGE, "/var/task"]
    image = set(subprocess.check_output(command, text=True).split())
    layers = {path.name for path in (sam.BUILD / "EmbedderLayer" / "python").iterdir()}
    query = {path.name for path in (sam.BUILD / "QueryFunction").iterdir()}
    assert {"docwell", "handler.py", "model", "onnxruntime", "pypdf"} <= image
    assert {"onnxruntime", "numpy", "tokenizers"} <= layers
    for found in (image, layers, query):
        assert not found & {"torch", "sentence_transformers", "transformers", "hf_xet", "chromadb_rust_bindings"}
    assert not query & {"numpy", "onnxruntime", "pypdf"}
