"""DynamoDB's direct client against a server on this machine, and against moto in this process."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.httpsession import where
from moto import mock_aws

from docwell.adapters import aws
from docwell.adapters.dynamodb.direct import DirectClient, _Connections, direct
from docwell.adapters.dynamodb.table import Table
from docwell.errors import Unavailable
from infra.local.names import LEDGER_SCHEMA
from infra.local.signatures import SignedRequest
from infra.release.credentials import new_pair, servers_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.integration
STACK = "docwell-test"
HOST = servers_of(STACK)[0]
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
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
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
    return connected()


def connected() -> Table:
    client = direct(aws.client("dynamodb", quick=True))
    assert isinstance(client, DirectClient)
    return Table(client, "ledger", "ledger")


@pytest.mark.parametrize(("token", "path"), [("token", ""), ("", ""), ("token", "/stage/")])
def test_a_call_is_one_request_signed_as_by_botocore(
    server: Server, token: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    url = f"http://127.0.0.1:{server.server_port}{path}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    server.answers = [(200, {"Item": {"document": {"S": "a"}, "body": {"B": "AAE="}}}, {})]
    assert connected().get(KEY) == {"document": "a", "body": b"\0\1"}
    (request,) = server.requests
    assert request.path == (path or "/")
    sent = json.loads(request.body())
    assert sent["Key"] == {name: {"S": value} for name, value in KEY.items()}
    moment = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: moment)
    signed = {name: request.headers[name] for name in ("content-type", "x-amz-target")}
    expected = AWSRequest("POST", url, signed, request.body())
    SigV4Auth(Credentials("AKIDTEST", "secret", token), "dynamodb", "eu-central-1").add_auth(expected)
    assert request.headers["authorization"] == expected.headers["Authorization"]
    assert request.headers.get("x-amz-security-token", "") == token


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
        (200, b'{"Item": {"document', {}),
        (200, b'{"Item": {"body": {"B": "A"}}}', {}),
        (200, b"{}", {"Content-Length": "7", "Connection": "close"}),
        (200, b"{}", {"Content-Encoding": "gzip", "x-amz-crc32": "none"}),
        (307, b"", {"Location": "http://127.0.0.1:9/"}),
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


def test_calls_at_the_same_time_do_not_share_a_connection(server: Server, table: Table) -> None:
    server.answers = [(200, {"Item": {"document": {"S": "a"}}}, {})] * 40
    with ThreadPoolExecutor(8) as threads:
        rows = [*threads.map(lambda _: table.get(KEY), range(40))]
    assert rows == [{"document": "a"}] * 40
    assert len(server.requests) == 40


def test_a_call_is_signed_with_the_keys_of_its_time(server: Server) -> None:
    # SnapStart's snapshot holds keys that have expired when it is restored.
    client = aws.client("dynamodb", quick=True)
    kept = RefreshableCredentials("AKIDOLD", "old", "", datetime.now(UTC), lambda: new, "test")
    new = {"access_key": "AKIDNEW", "secret_key": "new", "token": "new", "expiry_time": "2999-01-01T00:00:00Z"}
    server.answers = [(200, {}, {})]
    Table(cast("DynamoDBClient", DirectClient(client, kept, where())), "ledger", "ledger").get(KEY)
    (request,) = server.requests
    assert "Credential=AKIDNEW/" in request.headers["authorization"]
    sent = request.headers["x-amz-security-token"]
    assert sent == "new"


@pytest.mark.parametrize(
    ("trusted", "host", "reached"),
    [(True, HOST, 1), (True, "other.internal", 0), (False, HOST, 0)],
)
def test_a_server_without_its_certificate_gets_no_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool, host: str, reached: int
) -> None:
    pair = tmp_path / "pair.pem"
    pair.write_text("".join(new_pair(STACK, datetime.now(UTC))))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *more, **named: resolve("127.0.0.1", *more, **named))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://{host}:{server.server_port}")
    if trusted:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(pair))
    server.answers = [(200, {}, {})]
    with nullcontext() if reached else pytest.raises(Unavailable, match="SSLError"):
        assert connected().get(KEY) is None
    assert len(server.requests) == reached


def test_behind_a_proxy_boto3_makes_all_calls(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert not isinstance(direct(aws.client("dynamodb", quick=True)), DirectClient)


def test_a_row_comes_back_as_it_was_written_and_moto_sees_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Connections, "exchange", lambda *_: pytest.fail("a connection to AWS"))
    row = {
        **KEY,
        "B": "an attribute with the name of a type",
        "body": b"\0\xff",
        "bodies": frozenset({b"\0", b"\xff\xfe"}),
        "BS": {"BS": 1, "text": "", "bytes": b"\1", "nested": [{"B": b"\2"}]},
        "names": frozenset({"a", "é"}),
        "count": 7,
        "share": 0.25,
        "large": 10**37 + 1,
        "negative": -3,
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
