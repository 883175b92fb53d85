"""The built image and the built zip with its layers work in containers like Lambda's."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from docwell.http import sse
from infra.container import sam
from tests.container.parts import ANSWER, Cloud, Emulated, question_event, status_of, uploaded
from tests.e2e.test_documents import pdf

pytestmark = pytest.mark.container

KEY = "manuals/boiler é + 1.pdf"
PAGES = (
    "This manual describes the house and its rooms. The kitchen has two windows and a red door.",
    "The boiler in the cellar has to be drained every 14 weeks. Close the main valve before you start.",
    "The garden has apple trees and a pond. The pond freezes in cold winters.",
)
REQUEST = {"question": "How often does the boiler have to be drained?", "collection": "manuals"}


@pytest.fixture(scope="module")
def manual(cloud: Cloud, ingest: Emulated) -> None:
    """Index the manual with the image."""
    answer = ingest.invoke(uploaded(cloud, KEY, pdf(*PAGES)))
    assert answer == {"batchItemFailures": []}, ingest.logs()


@pytest.mark.usefixtures("manual")
def test_the_image_indexes_an_uploaded_pdf(cloud: Cloud, ingest: Emulated) -> None:
    assert status_of(cloud, KEY) == "INDEXED", ingest.logs()


def is_the_answer(body: dict[str, Any]) -> bool:
    citation = body["citations"][0]
    return (body["answer"], citation["document"], citation["page"]) == (ANSWER, KEY, 2)


@pytest.mark.usefixtures("manual")
def test_the_query_function_answers_and_cites_the_page_as_in_lambda(query: Emulated) -> None:
    # API Gateway streams the responses of this route, buffered answers included.
    prelude, _, body = query.post(question_event("query", REQUEST)).partition(bytes(8))
    assert json.loads(prelude)["statusCode"] == 200, query.logs()
    assert is_the_answer(json.loads(body))


@pytest.mark.usefixtures("manual")
def test_the_query_function_streams_an_answer_as_in_lambda(query: Emulated) -> None:
    prelude, _, body = query.post(question_event("stream", REQUEST)).partition(bytes(8))
    assert json.loads(prelude)["headers"]["Content-Type"] == sse.CONTENT_TYPE
    events = list(sse.read(body.decode().splitlines()))
    names = [name for name, _ in events]
    assert list(dict.fromkeys(names)) == ["passages", "token", "answer"]
    assert is_the_answer(events[-1][1])


@pytest.mark.usefixtures("manual")
def test_a_document_event_logs_no_document_text(ingest: Emulated) -> None:
    logs = ingest.logs()
    assert '"Docwell"' in logs  # the metrics are there
    assert "boiler in the cellar" not in logs


def test_neither_function_contains_torch_or_trimmed_packages() -> None:
    command = ["docker", "run", "--rm", "--entrypoint", "ls", sam.INGEST_IMAGE, "/var/task"]
    image = set(subprocess.check_output(command, text=True).split())
    layers = {path.name for path in (sam.artefact("EmbedderLayer") / "python").iterdir()}
    query = {path.name for path in sam.artefact("QueryFunction").iterdir()}
    assert {"docwell", "handler.py", "model", "numpy", "pypdfium2"} <= image
    assert len(image & {"openvino", "onnxruntime"}) == 1  # on ARM, onnxruntime in place of OpenVINO
    assert {"onnxruntime", "numpy", "tokenizers"} <= layers
    for result in (image, layers, query):
        assert not result & {"torch", "sentence_transformers", "transformers", "hf_xet", "chromadb_rust_bindings"}
    assert "openvino_telemetry" not in image
    assert not query & {"numpy", "onnxruntime", "pypdfium2"}
