"""The canary on moto, a real Chroma server and the real embedding model; its role; its place in deployments."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import closing
from typing import Any

import boto3
import pytest
from moto import mock_aws

from docwell.adapters import aws as adapters
from docwell.answers import Completion, Message
from docwell.upkeep.canary import FACT, KEY, QUESTION
from docwell.wiring import query as query_wiring
from functions.canary.handler import handler as canary
from functions.query.handler import handler as query
from infra.container.sam import ROOT
from tests.fresh_wiring import clear_caches
from tests.integration.test_infra_roles import Aws, Host
from tests.unit.http.http_calls import CONTEXT, whole_answer
from tests.unit.infra.templates import content, whole

pytestmark = pytest.mark.integration
MODEL = ROOT / "layers" / "embedder" / "model"
HOOK = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}
LIVE, NEXT = "function:live", "function:2"
STATUS_ACTION = "codedeploy:PutLifecycleEventHookExecutionStatus"


class AsleepHost(Host):
    """A model host that the canary must not call."""

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        raise AssertionError("the canary called the model")
        yield ""

    async def check(self) -> None:
        raise AssertionError("the canary called the model host")


class Account:
    """The query function behind Lambda's API, and CodeDeploy. `broken` versions fail."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.broken: set[str] = set()
        self.reported: list[str] = []
        self.actions: set[str] = set()

    def client(self, service: Any, **options: Any) -> Any:
        if service in ("lambda", "codedeploy"):
            return self
        created = boto3.client(service)
        created.meta.events.register("before-parameter-build.s3", self._note)
        created.meta.events.register("before-parameter-build.dynamodb", self._note_fact)
        return created

    def _note_fact(self, model: Any, params: Any, **_: Any) -> None:
        assert (params["TableName"], params["Item"]["document"]) == ("ledger", {"S": FACT})
        self.actions.add(f"dynamodb:{model.name}")

    def _note(self, model: Any, params: Any, **_: Any) -> None:
        assert (params["Bucket"], params["Key"]) == (self.aws.bucket, KEY)
        self.actions.add({"HeadObject": "s3:GetObject"}.get(model.name, f"s3:{model.name}"))

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.actions.add("lambda:InvokeFunction")
        if FunctionName in self.broken:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorType": "ImportError"}')}
        answer: Any = query(json.loads(Payload), CONTEXT)
        with closing(answer):
            return {"Payload": io.BytesIO(answer.prelude() + b"".join(answer.body))}

    def put_lifecycle_event_hook_execution_status(self, **given: str) -> None:
        self.actions.add(STATUS_ACTION)
        assert given["deploymentId"] == HOOK["DeploymentId"]
        self.reported.append(given["status"])


@pytest.fixture
def account(chroma_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        aws = Aws(whole(), monkeypatch, chroma_url, MODEL)
        for name, value in {
            "CHUNK_TOKENS": "200",
            "NEXT_CHUNK_TOKENS": "0",
            "LIVE_VERSION": LIVE,
            "NEXT_VERSION": NEXT,
            "WAKE_S": "600",
            "DEADLINE_S": "300",  # no stage may time out on a busy machine
        }.items():
            monkeypatch.setenv(f"DOCWELL_{name}", value)
        clear_caches()
        result = Account(aws)
        with monkeypatch.context() as patch:
            patch.setattr(adapters, "client", result.client)
            from docwell.wiring import small_functions as wiring

            wiring.canary()
            wiring.hooks()
        monkeypatch.setattr(query_wiring, "model", AsleepHost)
        yield result
    clear_caches()


def indexed(account: Account) -> None:
    canary({}, CONTEXT)
    account.aws.changed(KEY)
    account.aws.work()
    assert canary({}, CONTEXT) == {"outcome": "FOUND"}


def asked(path: str, method: str = "GET", body: object = None) -> tuple[int, dict[str, Any]]:
    """The answer to a principal with a right to all collections."""
    event = {
        "path": path,
        "httpMethod": method,
        "requestContext": {"authorizer": {"principalId": "key:known"}, "stage": "live"},
        "body": json.dumps(body) if body else None,
    }
    answer = whole_answer(query(event, CONTEXT))
    return answer["statusCode"], json.loads(answer["body"])


def test_the_canary_finds_its_page_once_its_document_is_indexed(account: Account) -> None:
    assert canary({}, CONTEXT) == {"outcome": "UNINDEXED"}
    # The first deployments: the document has never been indexed.
    assert canary(HOOK, CONTEXT) == {"passed": True}
    indexed(account)
    assert canary(HOOK, CONTEXT) == {"passed": True}
    account.broken = {NEXT}
    assert canary(HOOK, CONTEXT) == {"passed": False}
    assert account.reported == ["Succeeded", "Succeeded", "Failed"]


def test_no_other_principal_sees_the_document(account: Account) -> None:
    indexed(account)
    question: dict[str, Any] = {"question": QUESTION, "fallback": "none"}
    extra: dict[str, Any]
    for extra in ({}, {"mode": "list", "question": 'which documents mention "lighthouse"'}):
        status, answer = asked("/v1/query", "POST", question | extra)
        assert (status, answer["status"], answer["citations"]) == (200, "refused", [])
    for extra in ({"collection": ".docwell"}, {"document": KEY}, {"filter": {"documents": [KEY]}}):
        assert asked("/v1/query", "POST", question | extra)[0] == 404
    status, answer = asked("/v1/query", "POST", question | {"filter": {"prefix": ".docwell/"}})
    assert answer["citations"] == []
    assert asked("/v1/documents") == (200, {"documents": [], "cursor": None})
    assert asked(f"/v1/documents/{KEY}")[0] == 404


def test_the_canarys_questions_are_not_charged_and_leave_no_trace(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    indexed(account)
    capsys.readouterr()
    assert canary({}, CONTEXT) == {"outcome": "FOUND"}
    for table in ("usage", "receipts", "audit"):
        assert boto3.client("dynamodb").scan(TableName=table)["Items"] == []
    logged = capsys.readouterr().out
    assert "QueryLatency" not in logged
    assert "ModelAsleep" not in logged
    assert '"answered"' not in logged


def test_the_canarys_role_allows_exactly_its_calls(account: Account) -> None:
    canary({}, CONTEXT)
    canary(HOOK, CONTEXT)
    template = content(ROOT / "template.yaml")
    (policy,) = template["Resources"]["CanaryRole"]["Properties"]["Policies"]
    granted: dict[str, Any] = {}
    (facts,) = [
        statement["Condition"] for statement in policy["PolicyDocument"]["Statement"] if "Condition" in statement
    ]
    assert facts == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [FACT]}}
    for entry in policy["PolicyDocument"]["Statement"]:
        actions = entry["Action"] if isinstance(entry["Action"], list) else [entry["Action"]]
        granted |= dict.fromkeys(actions, entry["Resource"])
    logs = {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert set(granted) - logs == account.actions
    assert granted["s3:PutObject"]["Fn::Sub"].endswith(f":::${{DocumentsBucket}}/{KEY}")
    assert granted["lambda:InvokeFunction"] == {"Fn::Sub": "${QueryFunction.Arn}:*"}
    assert granted[STATUS_ACTION]["Fn::Sub"].endswith(":deploymentgroup:${ServerlessDeploymentApplication}/*")
