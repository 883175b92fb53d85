"""DynamoDB's direct client against a server on this machine, and against moto in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from moto import mock_aws

from docwell.adapters import aws
from docwell.adapters.dynamodb.direct import DirectClient, _Connections, direct
from docwell.adapters.dynamodb.table import Table
from docwell.errors import Unavailable
from infra.local.names import LEDGER_SCHEMA
from infra.local.signatures import SignedRequest, signed_service

pytestmark = pytest.mark.integration
KEY = {"document": "handbooks/é.pdf", "pipeline": "f1"}
CONDITION = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "no"}
Answer = tuple[int, object, Mapping[str, str]]


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `answers`, and keeps the requests."""

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.requests: list[SignedRequest] = []
        self.opened = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.opened += 1
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(SignedRequest("POST", self.path, "", headers, lambda: body))
        status, answer, more = self.server.answers.pop(0)
        content = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server([])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    given = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
    given |= {"AWS_DEFAULT_REGION": "eu-central-1"}
    given |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the credentials of an earlier test
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def table(server: Server) -> Table:
    client = direct(aws.client("dynamodb", quick=True))
    assert isinstance(client, DirectClient)
    return Table(client, "ledger", "ledger")


def test_a_call_is_one_request_that_aws_would_accept(server: Server, table: Table) -> None:
    server.answers = [(200, {"Item": {"document": {"S": "a"}, "body": {"B": "AAE="}}}, {})]
    assert table.get(KEY) == {"document": "a", "body": b"\0\1"}
    (request,) = server.requests
    assert signed_service(request, "AKIDTEST", "secret") == "dynamodb"
    assert request.headers["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in request.headers["authorization"]
    sent = json.loads(request.body())
    assert sent["Key"] == {name: {"S": value} for name, value in KEY.items()}


def test_a_condition_that_does_not_hold_is_asked_once(server: Server, table: Table) -> None:
    server.answers = [(400, CONDITION, {})]
    assert table.update(KEY, "SET a = :a", {"a": 1}, condition="b = :a") is None
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "first",
    [
        (500, {"__type": "InternalServerError"}, {}),
        (400, {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}, {}),
        (200, {"Item": {"document": {"S": "cut short"}}}, {"x-amz-crc32": "1"}),
    ],
)
def test_a_failed_call_is_made_by_boto3(server: Server, table: Table, first: Answer) -> None:
    server.answers = [first, (200, {"Item": {"document": {"S": "a"}}}, {})]
    assert table.get(KEY) == {"document": "a"}
    assert len(server.requests) == 2


def test_a_table_that_fails_three_times_is_unavailable_with_awss_code(server: Server, table: Table) -> None:
    server.answers = [(500, {"__type": "InternalServerError"}, {})] * 3
    with pytest.raises(Unavailable, match="GetItem answered InternalServerError"):
        table.get(KEY)
    assert len(server.requests) == 3


def test_a_server_that_is_gone_is_unavailable(server: Server, table: Table) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        table.get(KEY)


@pytest.mark.parametrize(("more", "opened"), [({}, 1), ({"Connection": "close"}, 3)])
def test_calls_share_a_connection_while_the_server_keeps_it(
    server: Server, table: Table, more: Mapping[str, str], opened: int
) -> None:
    server.answers = [(200, {"Item": {"document": {"S": "a"}}}, more)] * 3
    for _ in range(3):
        assert table.get(KEY) == {"document": "a"}
    assert (len(server.requests), server.opened) == (3, opened)


def test_behind_a_proxy_boto3_makes_all_calls(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert not isinstance(direct(aws.client("dynamodb", quick=True)), DirectClient)


def test_a_row_comes_back_as_it_was_written_and_moto_sees_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Connections, "exchange", lambda *_: pytest.fail("a connection to AWS"))
    row = {
        **KEY,
        "B": "an attribute with the name of a type",
        "body": b"\0\xff",
        "names": frozenset({"a", "é"}),
        "count": 7,
        "share": 0.25,
        "live": True,
        "values": {"B": "b", "more": {"a": 1}},
    }
    with mock_aws():
        boto3.client("dynamodb").create_table(TableName="ledger", **LEDGER_SCHEMA)
        client = direct(aws.client("dynamodb", quick=True))
        assert isinstance(client, DirectClient)
        table = Table(client, "ledger", "ledger")
        assert table.put(row, only_if_new=True)
        assert not table.put(row, only_if_new=True)
        assert table.get(KEY) == row
        assert list(table.get_many([KEY])) == [row]
        assert table.update(KEY, "SET #count = :count", {"count": 8}) == {**row, "count": 8}
