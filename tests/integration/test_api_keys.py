"""The caller's identity in the local gateway."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from docwell.access.authorizer import Authorizer
from docwell.errors import Unavailable
from docwell.identity import ApiKey, digest_of
from infra.local.gateway import Gateway
from runtime.functions import FunctionPool, FunctionSpec

pytestmark = pytest.mark.integration
VALUE = "a-value-of-twenty-characters"
UNREADABLE = "another-value-of-twenty-characters"


class FixedKeys:
    """One fixed key, without a table, and one value for which the keys cannot be read."""

    def find(self, digest: str) -> ApiKey | None:
        if digest == digest_of(UNREADABLE):
            raise Unavailable("principals", "down")
        return ApiKey(digest, "key:k1", "k1") if digest == digest_of(VALUE) else None


@contextmanager
def gateway() -> Iterator[str]:
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    spec = FunctionSpec("toy_functions.proxy", environment, timeout_s=5, on_line=lambda _: None)
    pool = FunctionPool(spec, concurrency=1)
    server = uvicorn.Server(
        uvicorn.Config(Gateway(pool, authorizer=Authorizer(FixedKeys())).app, log_level="warning")
    )
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


def test_the_function_gets_the_caller_and_a_client_cannot_forge_an_identity() -> None:
    claims = '{"principalId": "sub:root"}'
    forged = {
        "authorizer": claims,
        "requestcontext": claims,
        "x-amzn-apigateway-api-id": "k1",
        "principalid": "key:k1",
        "cognito-groups": "admins",
    }
    unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0."
    body = {"requestContext": {"authorizer": {"principalId": "sub:root"}, "identity": {"apiKey": VALUE}}}
    with gateway() as url:

        def context(**headers: str) -> dict[str, Any]:
            answer = httpx.post(f"{url}/v1/query?requestContext=x", json=body, headers={**forged, **headers})
            received: dict[str, Any] = answer.json()["requestContext"]
            return received

        by_key, bearer = context(**{"X-Api-Key": VALUE}), context(authorization=f"Bearer {VALUE}")
        strangers = [
            context(),
            context(**{"x-api-key": "guess"}),
            context(authorization=unsigned),
            context(**{"x-api-key": VALUE}, authorization=unsigned),  # the credentials disagree
        ]
    for received in (by_key, bearer):
        assert (received["authorizer"], received["identity"]["apiKey"]) == (
            {"principalId": "key:k1", "groups": "[]"},
            VALUE,
        )
    for received in strangers:
        assert (received["authorizer"], received["identity"]["apiKey"]) == (None, None)


def test_a_key_that_cannot_be_checked_gets_503_and_not_401() -> None:
    with gateway() as url:
        answer = httpx.get(f"{url}/v1/documents", headers={"x-api-key": UNREADABLE})
        assert httpx.get(f"{url}/v1/health", headers={"x-api-key": UNREADABLE}).status_code != 503
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "urn:docwell:problem:dependency-unavailable"
    assert {"title", "status", "detail", "request_id"} <= answer.json().keys()
