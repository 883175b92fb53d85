"""The caller's identity in the local gateway."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import uvicorn
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from infra.local.api_keys import ApiKeys, KeysUnavailable, key_in
from infra.local.gateway import Gateway
from infra.local.lambda_runtime import FunctionPool, FunctionSpec

from .waiting import Clock

pytestmark = pytest.mark.integration
VALUE = "a-value-of-twenty-characters"
UNREADABLE = "another-value-of-twenty-characters"


@pytest.fixture
def client() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("apigateway", region_name="us-east-1")


def test_a_key_is_known_by_its_value_alone(client: Any) -> None:
    id_ = client.create_api_key(name="k", value=VALUE, enabled=True)["id"]
    keys = ApiKeys(client)
    assert keys.id_of(VALUE) == id_
    for other in (None, "", id_, "k", VALUE + " ", VALUE.upper()):
        assert keys.id_of(other) is None


def test_a_disabled_or_deleted_key_stops_within_a_second(client: Any) -> None:
    clock = Clock(100.0)
    id_ = client.create_api_key(name="k", value=VALUE, enabled=True)["id"]
    keys = ApiKeys(client, clock)
    assert keys.id_of(VALUE) == id_
    client.update_api_key(apiKey=id_, patchOperations=[{"op": "replace", "path": "/enabled", "value": "false"}])
    clock.now += 1.01
    assert keys.id_of(VALUE) is None
    client.update_api_key(apiKey=id_, patchOperations=[{"op": "replace", "path": "/enabled", "value": "true"}])
    clock.now += 0.2
    assert keys.id_of(VALUE) == id_
    client.delete_api_key(apiKey=id_)
    clock.now += 1.01
    assert keys.id_of(VALUE) is None


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"x-api-key": "a"}, "a"),
        ({"authorization": "Bearer b"}, "b"),
        ({"authorization": "bearer  b "}, "b"),
        ({"x-api-key": "a", "authorization": "Bearer b"}, "a"),
        ({"x-api-key": "", "authorization": "Bearer b"}, ""),
        ({"authorization": "Basic b"}, None),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "b"}, None),
    ],
)
def test_a_key_comes_in_its_own_header_or_as_a_bearer_token(headers: dict[str, str], key: str | None) -> None:
    assert key_in(headers) == key


class Counted:
    """A client whose service a test can take down."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls = 0
        self.down = False

    def get_paginator(self, name: str) -> Any:
        self.calls += 1
        if self.down:
            raise EndpointConnectionError(endpoint_url="http://down")
        return self._client.get_paginator(name)


def test_guessed_keys_cause_at_most_ten_calls_a_second(client: Any) -> None:
    clock, counted = Clock(100.0), Counted(client)
    keys = ApiKeys(counted, clock)
    for number in range(200):
        clock.now += 0.01
        keys.id_of(f"guess-{number}")
    assert counted.calls <= 2 / 0.1


def test_keys_stay_known_while_their_service_is_down(client: Any) -> None:
    clock, counted = Clock(100.0), Counted(client)
    id_ = client.create_api_key(name="k", value=VALUE, enabled=True)["id"]
    keys = ApiKeys(counted, clock)
    assert keys.id_of(VALUE) == id_
    counted.down = True
    clock.now += 5
    assert keys.id_of(VALUE) == id_


def test_a_key_is_not_called_unknown_while_the_keys_cannot_be_read(client: Any) -> None:
    clock, counted = Clock(100.0), Counted(client)
    id_ = client.create_api_key(name="k", value=VALUE, enabled=True)["id"]
    keys = ApiKeys(counted, clock)
    counted.down = True
    with pytest.raises(KeysUnavailable):
        keys.id_of(VALUE)
    counted.down = False
    clock.now += 0.2
    assert keys.id_of(VALUE) == id_
    assert keys.id_of("another") is None


class FixedKeys(ApiKeys):
    """One fixed key, without a service, and one value for which the keys cannot be read."""

    def __init__(self) -> None:
        super().__init__(None)

    def id_of(self, value: str | None) -> str | None:
        if value == UNREADABLE:
            raise KeysUnavailable
        return "k1" if value == VALUE else None


@contextmanager
def gateway() -> Iterator[str]:
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    spec = FunctionSpec("toy_functions.proxy", environment, timeout_s=5, on_line=lambda _: None)
    pool = FunctionPool(spec, concurrency=1)
    server = uvicorn.Server(uvicorn.Config(Gateway(pool, api_keys=FixedKeys()).app, log_level="warning"))
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([door],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
    pool.close()


def test_the_function_gets_the_keys_id_and_a_client_cannot_forge_an_identity() -> None:
    claims = '{"claims": {"sub": "root"}}'
    forged = {
        "authorizer": claims,
        "requestcontext": claims,
        "x-amzn-apigateway-api-id": "k1",
        "apikeyid": "k1",
        "cognito-groups": "admins",
        "authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.",
    }
    body = {"requestContext": {"authorizer": {"claims": {"sub": "root"}}, "identity": {"apiKeyId": "k1"}}}
    with gateway() as url:

        def context(**headers: str) -> dict[str, Any]:
            answer = httpx.post(f"{url}/v1/query?requestContext=x", json=body, headers={**forged, **headers})
            found: dict[str, Any] = answer.json()["requestContext"]
            return found

        known, unknown, anonymous = context(**{"X-Api-Key": VALUE}), context(**{"x-api-key": "guess"}), context()
        bearer = context(authorization=f"Bearer {VALUE}")
    for found in (known, bearer):
        assert (found["identity"]["apiKeyId"], found["identity"]["apiKey"]) == ("k1", VALUE)
    for found in (unknown, anonymous):
        assert (found["identity"]["apiKeyId"], found["identity"]["apiKey"]) == (None, None)
    assert not any("authorizer" in found for found in (known, unknown, anonymous))


def test_a_key_that_cannot_be_checked_gets_503_and_not_401() -> None:
    with gateway() as url:
        answer = httpx.get(f"{url}/v1/documents", headers={"x-api-key": UNREADABLE})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "urn:docwell:dependency-unavailable"
