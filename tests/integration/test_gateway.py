"""The local API gateway over HTTP: proxy events, limits, identities, streams, and Lambda's API for functions."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from docwell.access.authorizer import Authorizer
from docwell.audit import Action
from docwell.errors import Unavailable
from docwell.http import sse
from docwell.identity import ORIGIN_HEADER, ApiKey, digest_of
from infra.local.gateway import Gateway
from runtime.functions import FunctionPool, FunctionSpec
from runtime.http_server import config_of
from tests.integration.waiting import until

pytestmark = pytest.mark.integration
KEY = "a-value-of-twenty-characters"
UNREADABLE = "another-value-of-twenty-characters"


class FixedKeys:
    """One fixed key, without a table, and one value for which the keys cannot be read."""

    def find(self, digest: str) -> ApiKey | None:
        if digest == digest_of(UNREADABLE):
            raise Unavailable("principals", "down")
        return ApiKey(digest, "key:k1", "k1") if digest == digest_of(KEY) else None


def pool_of(toy: str, timeout_s: float, log: str = "", **limits: Any) -> FunctionPool:
    environment = {"PYTHONPATH": str(Path(__file__).parent), "DOCWELL_TOY_LOG": log}
    spec = FunctionSpec(f"toy_functions.{toy}", environment, timeout_s, on_line=lambda _: None)
    return FunctionPool(spec, concurrency=1, **limits)


@contextmanager
def served(pool: FunctionPool, **parts: Any) -> Iterator[str]:
    """Yield the URL of a gateway in front of a function."""
    config = config_of(Gateway(pool, **parts).app, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with closing(pool), socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(pool_of("proxy", 2, max_waiting=1)) as url:
        yield url


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    """A gateway that asks for a key."""
    with served(pool_of("proxy", 2, max_waiting=1), authorizer=Authorizer(FixedKeys().find)) as url:
        yield url


def test_the_function_gets_a_rest_proxy_event(url: str) -> None:
    answer = httpx.post(
        f"{url}/v1/query?a=1&a=2&b=x%20y", json={"question": "é"}, headers=[("X-Two", "1"), ("X-Two", "2")]
    )
    event = answer.json()
    assert (event["httpMethod"], event["path"], event["resource"]) == ("POST", "/v1/query", "/{proxy+}")
    assert event["pathParameters"] == {"proxy": "v1/query"}
    assert event["queryStringParameters"] == {"a": "2", "b": "x y"}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": ["x y"]}
    assert (event["headers"]["X-Two"], event["multiValueHeaders"]["X-Two"]) == ("2", ["1", "2"])
    assert (event["body"], event["isBase64Encoded"]) == ('{"question":"é"}', False)
    assert event["requestContext"]["requestId"] == answer.headers["x-amzn-requestid"]


def test_an_encoded_path_arrives_as_it_was_sent(url: str) -> None:
    path = "/v1/documents/a%2Fb%20%25%C3%A9+c.pdf"
    event = httpx.get(url + path).json()
    assert (event["path"], event["pathParameters"]) == (path, {"proxy": path[1:]})


def test_status_headers_cookies_and_bytes_come_back(url: str) -> None:
    answer = httpx.get(f"{url}/x")
    assert (answer.status_code, answer.headers["x-one"]) == (201, "1")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert httpx.get(f"{url}/binary").content == b"\x00\x01\xff"
    event = httpx.post(f"{url}/x", content=b"\xff\xfe").json()
    assert (event["body"], event["isBase64Encoded"]) == ("//4=", True)


@pytest.mark.parametrize(("path", "status"), [("/malformed", 502), ("/slow", 504)])
def test_a_function_that_fails_is_a_problem_document(url: str, path: str, status: int) -> None:
    answer = httpx.get(f"{url}{path}", timeout=20)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_an_error_of_the_gateway_has_the_shape_of_its_door(url: str) -> None:
    errors = [httpx.post(url + path, content=b"x" * 70_000).json()["error"] for path in ("/v1/models", "/v1/mcp/")]
    assert [error["code"] for error in errors] == ["too-large", -32000]


def test_requests_of_the_api_count_in_the_metrics_and_files_of_the_console_do_not(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("/v1/health", "/malformed", "/index.html"):
        httpx.get(f"{url}{path}")
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    good, bad = (line for line in printed if "_aws" in line)
    assert (good["Count"], good["4XXError"], good["5XXError"]) == (1, 0, 0)
    assert (bad["Count"], bad["4XXError"], bad["5XXError"]) == (1, 0, 1)


def test_callers_over_the_waiting_limit_get_429_with_retry_after(url: str) -> None:
    httpx.get(f"{url}/warm")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: httpx.get(f"{url}/busy", timeout=20), range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 429, 429]
    assert all(answer.headers["retry-after"] == "5" for answer in answers if answer.status_code == 429)


# --- identity ---


def test_the_function_gets_the_caller_and_a_client_cannot_forge_one(locked: str) -> None:
    claims = '{"principalId": "sub:root"}'
    forged = {"authorizer": claims, "requestcontext": claims, "principalid": "key:k1", "cognito-groups": "admins"}
    forged["x-amzn-apigateway-api-id"] = "k1"
    unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0."
    body = {"requestContext": {"authorizer": {"principalId": "sub:root"}}}

    def asked(headers: dict[str, str]) -> httpx.Response:
        return httpx.post(f"{locked}/v1/query?requestContext=x", json=body, headers={**forged, **headers})

    for headers in ({"X-Api-Key": KEY}, {"authorization": f"Bearer {KEY}"}):
        answer = asked(headers)
        assert answer.json()["requestContext"]["authorizer"] == {"principalId": "key:k1", "groups": "[]"}
        assert KEY not in answer.text
    conflicting = {"x-api-key": KEY, "authorization": unsigned}
    for headers in ({}, {"x-api-key": "guess"}, {"authorization": unsigned}, conflicting):
        assert (asked(headers).status_code, asked(headers).headers["www-authenticate"]) == (401, "Bearer")


def test_a_request_that_the_gateway_denies_is_in_the_audit_trail() -> None:
    trail = Mock()
    with served(pool_of("proxy", 2), authorizer=Authorizer(FixedKeys().find, trail=trail)) as url:
        assert httpx.get(f"{url}/v1/status", headers={"x-api-key": KEY}).status_code == 201
        assert httpx.get(f"{url}/v1/status").status_code == 401
    event = trail.append.mock_calls[0].args[0]
    assert (event.actor, event.action, event.subject) == ("address:127.0.0.1", Action.REFUSED, "unauthenticated")
    assert trail.append.call_count == 1


def test_a_code_gives_its_key_once(locked: str) -> None:
    def post(name: str, value: str) -> httpx.Response:
        return httpx.post(f"{locked}/-/code", headers={name: value})

    code = post("x-api-key", KEY).json()["code"]
    answers = [post("x-docwell-code", code), post("x-docwell-code", code), post("x-api-key", "guess")]
    assert [answer.status_code for answer in answers] == [200, 404, 401]
    assert answers[0].json() == {"key": KEY}


def test_a_key_that_cannot_be_checked_gets_503_and_not_401(locked: str) -> None:
    answer = httpx.get(f"{locked}/v1/documents", headers={"x-api-key": UNREADABLE})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "urn:docwell:problem:dependency-unavailable"
    assert httpx.get(f"{locked}/v1/health", headers={"x-api-key": UNREADABLE}).status_code == 201


def test_requests_without_a_key_leave_the_places_to_others(locked: str) -> None:
    """Forty at once of each kind take one of the two places; each gets its answer."""
    with ThreadPoolExecutor(90) as threads:
        open_answers = threads.map(lambda _: httpx.get(f"{locked}/v1/health", timeout=20), range(40))
        refused = threads.map(lambda _: httpx.post(f"{locked}/busy", timeout=20), range(40))
        keyed = threads.map(lambda _: httpx.get(f"{locked}/x", headers={"x-api-key": KEY}, timeout=20), range(1))
        answers = [{answer.status_code for answer in group} for group in (open_answers, refused, keyed)]
    assert answers == [{201}, {401}, {201}]


def test_a_client_cannot_forge_the_address_of_the_console(url: str) -> None:
    event = httpx.get(f"{url}/v1/usage", headers={ORIGIN_HEADER: "https://evil.example"}).json()
    assert (event["headers"]["X-Docwell-Origin"], event["multiValueHeaders"]["X-Docwell-Origin"]) == (url, [url])


# --- streams ---


class Door:
    """The address of a gateway before a streaming toy, and the toy's notes."""

    def __init__(self, url: str, log: Path) -> None:
        self.url, self._log = f"{url}/v1/query", log

    def notes(self) -> list[str]:
        text = self._log.read_text() if self._log.exists() else ""
        return [line.partition(" ")[2] for line in text.splitlines()]

    def answers(self) -> bool:
        """Return whether the only environment is free."""
        return httpx.post(self.url, json={"proxy": True}, timeout=5).status_code == 201


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    log = tmp_path / "notes"
    pool = pool_of("streams", 3, str(log), max_waiting=2)
    pool.warm()
    with served(pool) as url:
        yield Door(url, log)


def test_a_stream_arrives_piece_by_piece(door: Door, tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    arrived = []
    with httpx.stream("POST", door.url, json={"pieces": 3, "gates": str(tmp_path)}, timeout=20) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, sse.CONTENT_TYPE)
        for _, data in sse.read(answer.iter_lines()):
            arrived.append(data["text"])
            (tmp_path / str(len(arrived))).touch()  # the toy makes each piece after the previous one has arrived
    assert arrived == ["0", "1", "2"]


@pytest.mark.parametrize("event", [{"pieces": 2, "fails": True}, {"pieces": 100, "pause": 0.2}])
def test_a_stream_that_fails_or_takes_too_long_does_not_look_complete(door: Door, event: dict[str, Any]) -> None:
    with (
        httpx.stream("POST", door.url, json=event, timeout=20) as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        answer.read()


def test_a_client_that_leaves_ends_the_function_and_frees_its_environment(door: Door) -> None:
    with httpx.stream("POST", door.url, json={"pieces": 100, "pause": 0.5}) as answer:
        next(answer.iter_raw())
    until(lambda: "closed" in door.notes())
    assert door.answers()
    with pytest.raises(httpx.ReadTimeout):  # before the first byte
        httpx.post(door.url, json={"thinks": 1, "pieces": 100, "pause": 0.3}, timeout=0.3)
    until(lambda: door.notes().count("closed") == 2)
    with httpx.stream("POST", door.url, json={"megabytes": 40}) as answer:
        next(answer.iter_raw())
    assert door.answers()


def test_a_client_that_reads_slowly_holds_no_environment(door: Door) -> None:
    with httpx.stream("POST", door.url, json={"megabytes": 40}) as answer:
        pieces = answer.iter_raw()
        read = len(next(pieces))
        assert door.answers()
        assert read + sum(len(piece) for piece in pieces) == 40 * 1024 * 1024


# --- Lambda's API ---


def test_a_function_is_called_by_its_name_and_its_error_is_marked() -> None:
    pools = {name: pool_of(name, 10) for name in ("proxy", "echo", "raises")}
    path = "/2015-03-31/functions/{}/invocations"
    with TestClient(Gateway(pools["proxy"], pools).app) as api:
        answer = api.post(path.format("echo"), content=b'{"action": "reconcile"}')
        assert (answer.status_code, answer.json()["event"]) == (200, {"action": "reconcile"})
        failed = api.post(path.format("raises"), json={})
        assert (failed.status_code, failed.headers["x-amz-function-error"]) == (200, "Unhandled")
        assert failed.json() == {"errorType": "ValueError", "errorMessage": "this is wrong"}
        unknown = api.post(path.format("other"), json={})
        assert (unknown.status_code, unknown.headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")
        assert api.post(path.format("echo"), content=b"{").status_code == 400
    for pool in pools.values():
        pool.close()
