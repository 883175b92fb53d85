"""Lambda's API on the local gateway, called with boto3 as in `docwell`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from infra.local.gateway import Gateway
from runtime.functions import FunctionPool, FunctionSpec

pytestmark = pytest.mark.integration
PATH = "/2015-03-31/functions/{}/invocations"


@pytest.fixture(scope="module")
def api() -> Iterator[TestClient]:
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    pools = {
        name: FunctionPool(FunctionSpec(f"toy_functions.{name}", environment, on_line=lambda _: None))
        for name in ("proxy", "echo", "raises")
    }
    with TestClient(Gateway(pools["proxy"], pools).app) as client:
        yield client
    for pool in pools.values():
        pool.close()


def test_a_function_is_called_by_its_name(api: TestClient) -> None:
    answer = api.post(PATH.format("echo"), content=b'{"action": "reconcile"}')
    assert answer.status_code == 200
    assert answer.json()["event"] == {"action": "reconcile"}
    assert "x-amz-function-error" not in answer.headers


def test_a_function_that_raises_is_an_answer_with_a_mark(api: TestClient) -> None:
    answer = api.post(PATH.format("raises"), json={})
    assert (answer.status_code, answer.headers["x-amz-function-error"]) == (200, "Unhandled")
    assert answer.json() == {"errorType": "ValueError", "errorMessage": "this is wrong"}


def test_an_unknown_function_and_an_event_that_is_not_json_are_refused(api: TestClient) -> None:
    unknown = api.post(PATH.format("other"), json={})
    assert (unknown.status_code, unknown.headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")
    assert api.post(PATH.format("echo"), content=b"{").status_code == 400
