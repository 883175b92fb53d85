"""The API keeps to its OpenAPI page for any request: the real query function behind the gateway.

A scripted model host gives the same answer each time, so a case takes milliseconds.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import re
import subprocess
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from benchmarks.chaos import KEY, QUESTION, Rig, rig
from infra.container.sam import ROOT, environment
from tests.unit.cases import rows

pytestmark = pytest.mark.e2e

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
PROBLEM_JSON = "application/problem+json"


@pytest.fixture(scope="module")
def api() -> Iterator[Rig]:
    with rig(deadline_s=6, rest_s=1) as api:
        assert api.recovery(30) < 30
        yield api


@pytest.fixture(scope="module")
def http(api: Rig) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.gateway, headers=api.headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("examples", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_every_answer_is_documented_and_none_is_a_server_error(api: Rig, examples: int) -> None:
    # The requests use the rig's key: an invented second key would give 401.
    generation = {"with-security-parameters": False}
    config = SchemathesisConfig.from_dict({"base-url": api.gateway, "generation": generation})
    page = schemathesis.openapi.from_url(f"{api.gateway}/v1/openapi.json", config=config, timeout=30)
    operations = [result.ok() for result in page.get_all_operations() if isinstance(result, Ok)]
    assert ("POST", "/v1/query") in {(operation.method.upper(), operation.path) for operation in operations}
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            sent = cases(operation.as_strategy(generation_mode=mode), api, examples)
            assert sent or (operation.method.upper(), operation.path) != ("POST", "/v1/query"), mode


def cases(strategy: Any, api: Rig, examples: int) -> int:
    """Send the generated requests, validate each response, and return the number of requests."""
    sent = 0

    @given(case=strategy)
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # no shrinking: each attempt is a request
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any) -> None:
        nonlocal sent
        sent += 1
        case.call_and_validate(checks=CHECKS, headers=dict(api.headers), timeout=30)

    # An operation without parameters has no invalid request.
    with contextlib.suppress(Unsatisfiable):
        send()
    return sent


@pytest.mark.parametrize("row", rows(__file__, "bodies"), ids=lambda row: row["case"])
def test_a_body_of_the_wrong_shape_gets_a_problem_document(http: httpx.Client, row: dict[str, Any]) -> None:
    text = row["body"] + row.get("repeat", "") * row.get("times", 1) + row.get("end", "")
    body = text.replace("<question>", QUESTION).replace("<key>", KEY).encode("latin-1")
    response = http.post("/v1/query", content=body, headers={"content-type": "application/json"})
    # JSON leaves the meaning of these bodies open, so both an answer and a refusal are right.
    if "may_answer" in row and response.status_code == 200:
        assert response.json()["status"] in {"answered", "refused"}
        return
    assert 400 <= response.status_code < 500, response.text[:300]
    assert response.headers["content-type"] == PROBLEM_JSON
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["type"].startswith("urn:docwell:")
    assert problem["request_id"]
    assert len(response.content) < 10_000  # the body is not echoed


@pytest.mark.parametrize("path", Path(__file__).with_name("paths.txt").read_text().splitlines())
def test_a_path_of_the_wrong_shape_gets_a_problem_document_of_the_caller(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert 400 <= response.status_code < 500, response.text[:300]
    assert response.headers["content-type"] == PROBLEM_JSON


GENERATOR = ROOT / ".venv-generator"
OTHER_KEY = "chaos/notes.txt"


def test_a_generated_client_runs_through_the_whole_api(
    api: Rig, http: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object that it makes of an answer has all that the answer says."""
    api.doors.indexed(OTHER_KEY, api.doors.put(OTHER_KEY, b"The lift is inspected every May."), 60)
    environment(GENERATOR, ROOT / "requirements" / "generator.txt")
    monkeypatch.setenv("PATH", str(GENERATOR / "bin"), prepend=os.pathsep)
    (tmp_path / "page.json").write_bytes(http.get("/v1/openapi.json").content)
    options = ["--path", "page.json", "--output-path", "generated", "--meta", "none", "--fail-on-warning"]
    subprocess.run(["openapi-python-client", "generate", *options], cwd=tmp_path, check=True)
    monkeypatch.syspath_prepend(tmp_path)
    folder = importlib.import_module("generated.api").__path__
    modules = [entry.name for entry in pkgutil.walk_packages(folder, "generated.api.") if not entry.ispkg]
    calls = {name.rpartition(".")[2]: importlib.import_module(name).sync_detailed for name in modules}
    client = importlib.import_module("generated").AuthenticatedClient(api.gateway, api.headers["x-api-key"])
    values, lines = {"question": QUESTION, "key": KEY, "other": OTHER_KEY}, rows(__file__, "generated_calls")
    for operation, *call, status in lines:
        text = re.sub("<([a-z_]+)>", lambda match: values[match[1]], json.dumps(call))
        arguments, body = json.loads(text)
        if body is not None:
            hint = typing.get_type_hints(calls[operation])["body"]
            arguments["body"] = made_of(typing.get_args(hint) or (hint,), body)
        answer = calls[operation](client=client, **arguments)
        assert (answer.status_code, answer.parsed.to_dict()) == (status, json.loads(answer.content)), text
        if operation == "query":
            values.setdefault("request_id", answer.parsed.request_id)
    assert {operation for operation, *_ in lines} == calls.keys()


def made_of(kinds: tuple[Any, ...], body: dict[str, Any]) -> Any:
    """Return the body as the first of its kinds that takes it."""
    for kind in kinds:
        with contextlib.suppress(KeyError):
            return kind.from_dict(body)
    raise AssertionError(body)
