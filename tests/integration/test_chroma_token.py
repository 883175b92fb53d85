"""The token of Chroma is read at run time, from Secrets Manager, and again after a rotation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import get_args, get_type_hints

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.server_auth import AuthHeader, Credential, ServerAuth, secret_reader
from docwell.config import StorageSettings
from docwell.errors import Unavailable
from docwell.wiring import pipelines
from infra.container.sam import ROOT
from tests.unit.infra.templates import TEMPLATES, content

from .waiting import Clock

pytestmark = pytest.mark.integration
ROLES = ("IngestRole", "QueryRole", "ReconcileRole")


class Hosted(BaseHTTPRequestHandler):
    """A Chroma server without collections, for callers with the right token."""

    right: tuple[str, str]
    seen: list[bool]

    def do_GET(self) -> None:
        name, value = self.right
        allowed = self.headers.get(name) == value
        self.seen.append(allowed)
        body = b"[]" if allowed else b'{"error": "AuthError"}'
        self.send_response(200 if allowed else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hosted() -> Iterator[str]:
    """The URL of the server."""
    Hosted.right, Hosted.seen = ("Authorization", "Bearer first"), []
    with ThreadingHTTPServer(("127.0.0.1", 0), Hosted) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Secret:
    """A secret of moto, and the actions that its readers call."""

    def __init__(self) -> None:
        self.client = boto3.client("secretsmanager", "us-east-1")
        self.arn: str = self.client.create_secret(Name="chroma", SecretString='{"token": "first"}')["ARN"]
        self.actions: list[str] = []
        self.client.meta.events.register(
            "before-parameter-build.secrets-manager", lambda model, **_: self.actions.append(model.name)
        )

    def put(self, text: str) -> None:
        boto3.client("secretsmanager", "us-east-1").put_secret_value(SecretId=self.arn, SecretString=text)


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[Secret]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Secret()


def index(url: str, auth: ServerAuth) -> ChromaIndex:
    return ChromaIndex(ChromaServer(url, auth=auth), Layout("f" * 32, 8))


def secured(url: str, secret: Secret, clock: Clock | None = None) -> ChromaIndex:
    return index(url, ServerAuth(secret_reader(secret.client, secret.arn, "chroma"), clock=clock or Clock(0)))


@pytest.mark.parametrize(
    ("header", "value"), [("Authorization", "Bearer first"), ("X-Chroma-Token", "first")], ids=["own", "hosted"]
)
def test_every_request_has_the_token_in_the_header_of_its_server(
    hosted: str, header: AuthHeader, value: str
) -> None:
    Hosted.right = (header, value)
    settings = StorageSettings.read(bucket="b", chroma_url=hosted, chroma_token="first", chroma_header=header)
    assert pipelines.index_of(settings, "f" * 32, 8).collections() == []
    assert Hosted.seen == [True]


def test_a_setting_with_an_arn_is_a_secret_that_is_read_once(hosted: str, secret: Secret) -> None:
    settings = StorageSettings.read(bucket="b", chroma_url=hosted, chroma_token=secret.arn)
    chroma = pipelines.index_of(settings, "e" * 32, 8)
    assert [chroma.collections() for _ in range(3)] == [[]] * 3
    assert Hosted.seen == [True] * 3


def test_a_rotated_token_is_read_at_the_first_refusal(hosted: str, secret: Secret) -> None:
    clock = Clock(0)
    chroma = secured(hosted, secret, clock)
    chroma.collections()
    secret.put('{"token": "second"}')
    Hosted.right = ("Authorization", "Bearer second")
    clock.now = 10
    assert chroma.collections() == []
    assert Hosted.seen == [True, False, True]


def test_a_token_that_stays_wrong_is_not_read_for_every_request(hosted: str, secret: Secret) -> None:
    Hosted.right = ("Authorization", "Bearer other")
    chroma = secured(hosted, secret)
    for _ in range(4):
        with pytest.raises(Unavailable):
            chroma.collections()
    assert Hosted.seen == [False] * 4
    assert len(secret.actions) == 1


def test_a_token_that_still_works_is_replaced_within_minutes(hosted: str, secret: Secret) -> None:
    clock = Clock(0)
    chroma = secured(hosted, secret, clock)
    chroma.collections()
    secret.put('{"token": "second"}')
    Hosted.right = ("Authorization", "Bearer second")
    clock.now = 301
    assert chroma.collections() == []
    assert Hosted.seen == [True, True]


def test_the_last_token_is_sent_while_the_secret_cannot_be_read(hosted: str) -> None:
    clock, answers = Clock(0), iter([Credential("first")])

    def read() -> Credential:
        for answer in answers:
            return answer
        raise Unavailable("chroma", "no secret")

    chroma = index(hosted, ServerAuth(read, "Authorization", clock=clock))
    chroma.collections()
    clock.now = 301
    assert chroma.collections() == []


@pytest.mark.parametrize(
    "text",
    [
        *("first", "{}", "[]", '"token"'),
        *(json.dumps({"token": token}) for token in ("", "first\n", "first second", "fïrst", None, 1, ["first"])),
    ],
)
def test_a_secret_without_a_token_or_that_is_absent_is_a_typed_error_without_its_text(
    hosted: str, secret: Secret, text: str
) -> None:
    secret.put(text)
    chroma = secured(hosted, secret)
    with pytest.raises(Unavailable, match="key `token`") as caught:
        chroma.collections()
    assert "first" not in str(caught.value)
    absent = index(hosted, ServerAuth(secret_reader(secret.client, f"{secret.arn}-other", "chroma")))
    with pytest.raises(Unavailable, match="ResourceNotFoundException"):
        absent.collections()


def test_each_role_may_read_its_servers_tokens_and_nothing_else_of_secrets_manager() -> None:
    resources = content(ROOT / "template.yaml")["Resources"]
    for server, roles in (("Chroma", ROLES), ("Ollama", ("QueryRole",))):
        policy, condition = resources[f"{server}SecretPolicy"], f"Has{server}Secret"
        assert policy["Condition"] == condition
        arn = f"{server}SecretArn"
        (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
        # Secrets Manager adds a suffix to the name of the stack's secret.
        resource = [{"Ref": arn}, {"Fn::Sub": f"${{{arn}}}-??????"}]
        assert statement == {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": resource}
        attached = {"Fn::If": [condition, {"Ref": f"{server}SecretPolicy"}, {"Ref": "AWS::NoValue"}]}
        holders = {one for one in ROLES if attached in resources[one]["Properties"]["ManagedPolicyArns"]}
        assert holders == set(roles)


def test_no_secret_is_read_at_deployment() -> None:
    everything = "".join(path.read_text() for path in TEMPLATES)
    resolved = re.findall(r"resolve:secretsmanager:(\S+?)}}", everything)
    assert resolved == ["${PairName}:SecretString:balancer"]  # the ARN of the load balancer's certificate


def test_the_template_takes_the_headers_that_the_code_knows() -> None:
    pattern = content(ROOT / "infra" / "system.yaml")["Parameters"]["ChromaAccount"]["AllowedPattern"]
    assert f"({'|'.join(get_args(AuthHeader))})" in pattern
    field = StorageSettings.model_fields["chroma_header"]
    assert get_args(field.annotation) == get_args(AuthHeader)


def test_the_packages_have_every_service_of_aws_that_an_adapter_calls() -> None:
    called = set(get_args(get_type_hints(client)["service"]))
    (kept,) = re.findall(r"^SERVICES = \{(.*)\}", (ROOT / "scripts/trim-packages").read_text(), re.MULTILINE)
    assert "s3" in called
    assert called <= set(re.findall(r'"(\w+)"', kept))
