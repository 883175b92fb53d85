"""Each function's role allows exactly the calls of its code, on moto and a real Chroma server."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from fpdf import FPDF
from moto import mock_aws

from docwell.adapters.chroma import ChromaIndex
from docwell.adapters.documents import document_reader
from docwell.adapters.dynamodb.ledger import DynamoLedger
from docwell.adapters.dynamodb.principals import Grant, PrincipalAdmin
from docwell.errors import Unavailable
from docwell.identity import Principal, Rule
from docwell.upkeep.reindex import FORGET_AFTER_S
from docwell.wiring import query as query_wiring
from docwell.wiring import small_functions as reconcile_wiring
from functions.ingest.handler import handler as ingest
from functions.query.handler import handler as query
from functions.reconcile.handler import handler as reconcile
from tests.fresh_wiring import clear_caches
from tests.integration.recorded_calls import Call, record
from tests.unit.adapters.embedding import tiny_model
from tests.unit.http.http_calls import CONTEXT, whole_answer
from tests.unit.infra.templates import whole
from tests.unit.query.query_fakes import FakeModel

pytestmark = pytest.mark.integration
TABLES = {name: f"{name.title()}Table" for name in ("ledger", "principals", "usage", "receipts", "audit")}
# Lambda's own calls with the function's role.
PLATFORM = {
    (f"sqs:{action}", queue)
    for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
    for queue in ("IngestQueue", "OcrQueue", "IngestDeadLetterQueue")
}
PLATFORM_LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return whole()


def statements(template: dict[str, Any], role: str) -> Iterator[dict[str, Any]]:
    for policy in template["Resources"][role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def logical_id(resource: dict[str, Any]) -> str:
    """`{"Fn::GetAtt": [ID, "Arn"]}` or `{"Fn::Sub": "…${ID}/…"}`; an index has `/index` after its table."""
    if "Fn::If" in resource:  # a queue that only some stacks have
        return logical_id(resource["Fn::If"][1])
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    text = resource["Fn::Sub"] if isinstance(resource["Fn::Sub"], str) else resource["Fn::Sub"][0]
    ((name, index),) = re.findall(r"[/:]\$\{(\w+)\}(/index/)?[^$]*$", text)
    return str(name) + ("/index" if index else "")


def granted(template: dict[str, Any], role: str) -> set[Call]:
    result = set()
    for statement in statements(template, role):
        assert statement["Effect"] == "Allow"
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        result |= {(action, logical_id(statement["Resource"])) for action in actions}
    return {(action, resource) for action, resource in result if action not in PLATFORM_LOGS}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model")
    return tiny_model.build(tiny_model.write(root / "source"), root / "built")


# The text of a page with this number.
PAGE = "The pump of page {} starts and the valve closes."


@dataclass
class Host(FakeModel):
    """The model host, which is outside AWS."""

    says: str = f"{PAGE.format(0)[:-1]} [1]."

    def writing_at_most(self, _tokens: int) -> Host:
        return self


class Aws:
    """The template's tables, bucket and queue in moto, and the functions on them."""

    def __init__(self, template: dict[str, Any], patch: pytest.MonkeyPatch, chroma: str, model: Path) -> None:
        self.patch = patch
        self.s3, self.sqs = boto3.client("s3"), boto3.client("sqs")
        self.bucket = f"documents-{uuid.uuid4().hex[:8]}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.queue = self.sqs.create_queue(QueueName="ingest")["QueueUrl"]
        self.ocr_queue = self.sqs.create_queue(QueueName="ocr")["QueueUrl"]
        self.dead_letters = self.sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
        self.parked = self.sqs.create_queue(QueueName="parked")["QueueUrl"]
        for name, logical in TABLES.items():
            properties = template["Resources"][logical]["Properties"]
            retained = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
            expected = {key: properties[key] for key in retained if key in properties}
            boto3.client("dynamodb").create_table(TableName=name, **expected)
        settings = {
            "BUCKET": self.bucket,
            "QUEUE_URL": self.queue,
            "LEDGER_TABLE": "ledger",
            "PRINCIPALS_TABLE": "principals",
            "USAGE_TABLE": "usage",
            "RECEIPTS_TABLE": "receipts",
            "AUDIT_TABLE": "audit",
            "CHROMA_URL": chroma,
            "OLLAMA_URL": "http://ollama.invalid",
            "MODEL": Host.name,
            "MODEL_DIR": str(model),
            "NEXT_CHUNK_TOKENS": "32",
            "CHUNK_TOKENS": "16",
            "RANGE_PAGES": "1",
            "OCR": "rapidocr",
            "OCR_QUEUE_URL": self.ocr_queue,
            "DEAD_LETTER_QUEUE_URL": self.dead_letters,
            "PARKED_QUEUE_URL": self.parked,
        }
        for name, value in settings.items():
            patch.setenv(f"DOCWELL_{name}", value)
        # An OCR engine that finds no text.
        patch.setattr(document_reader, "check_installed", lambda: None)
        patch.setattr(document_reader.RecognisingReader, "pages", lambda self, *which: self.reader.pages(*which))
        PrincipalAdmin(boto3.client("dynamodb"), "principals").add(
            Grant("key:known", None, label="k", writable=None, operates=True)
        )

    def record(self) -> set[Call]:
        """Start like a new function, and record its calls."""
        clear_caches()
        queues = {self.queue: "IngestQueue", self.ocr_queue: "OcrQueue", self.parked: "ParkedQueue"}
        queues[self.dead_letters] = "IngestDeadLetterQueue"
        return record(self.patch, {self.bucket: "DocumentsBucket", **queues, **TABLES})

    def put(self, key: str, pages: int, without_text: int = 0, uploader: str = "") -> None:
        document = FPDF()
        document.set_font("helvetica", size=12)
        for number in range(pages):
            document.add_page()
            document.multi_cell(0, text=PAGE.format(number))
        for _ in range(without_text):
            document.add_page()
            document.line(10, 10, 90, 90)
        metadata = {"docwell-uploader": uploader}
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=bytes(document.output()), Metadata=metadata)

    def tag(self, team: str) -> None:
        tags: Any = {"TagSet": [{"Key": "team", "Value": team}]}
        self.s3.put_object_tagging(Bucket=self.bucket, Key="a.pdf", Tagging=tags)

    def changed(self, key: str) -> None:
        self.ingest(json.dumps({"Records": [{"s3": {"object": {"key": key, "eTag": "0" * 32}}}]}), "none")

    def ingest(self, body: str, receipt: str, queue: str = "ingest") -> None:
        attributes = {"ApproximateReceiveCount": "1"}
        entry = {"messageId": receipt[-40:], "receiptHandle": receipt, "body": body, "attributes": attributes}
        source = {"eventSource": "aws:sqs", "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{queue}"}
        ingest({"Records": [entry | source]}, CONTEXT)

    def work(self) -> None:
        while messages := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.ingest(message["Body"], message["ReceiptHandle"])
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])


@pytest.fixture
def aws(
    template: dict[str, Any], chroma_url: str, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Aws(template, monkeypatch, chroma_url, model_dir)
    clear_caches()


def test_the_ingest_role_allows_exactly_its_calls(template: dict[str, Any], aws: Aws) -> None:
    calls = aws.record()
    for key, pages, scanned in (("a.pdf", 1, 0), ("long.pdf", 3, 0), ("scan.pdf", 1, 1)):
        aws.put(key, pages, scanned)
        aws.changed(key)
    for key in ("paid.pdf", "over.pdf"):
        aws.put(key, 1, uploader=Principal("key:u", bytes_per_day=1).as_uploader)
        aws.changed(key)
    # One range fails: SQS delivers its message again later.
    failing = Mock(side_effect=Unavailable("chroma", "chroma is away"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChromaIndex, "upsert", failing)
        (message,) = aws.sqs.receive_message(QueueUrl=aws.queue, MaxNumberOfMessages=1)["Messages"]
        aws.ingest(message["Body"], message["ReceiptHandle"])
    aws.sqs.change_message_visibility(
        QueueUrl=aws.queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
    )
    aws.work()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChromaIndex, "upsert", failing)
        (scan,) = aws.sqs.receive_message(QueueUrl=aws.ocr_queue, MaxNumberOfMessages=1)["Messages"]
        aws.ingest(scan["Body"], scan["ReceiptHandle"], "ocr")
    aws.s3.delete_object(Bucket=aws.bucket, Key="a.pdf")
    aws.changed("a.pdf")
    # The workers of a message die. Another one gives it up, at the second attempt.
    aws.sqs.send_message(QueueUrl=aws.dead_letters, MessageBody=json.dumps({"docwell": {"key": "a.pdf"}}))
    (dead,) = aws.sqs.receive_message(QueueUrl=aws.dead_letters)["Messages"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DynamoLedger, "acquire", lambda *_: None)
        aws.ingest(dead["Body"], dead["ReceiptHandle"], "dead-letters")
    aws.ingest(dead["Body"], dead["ReceiptHandle"], "dead-letters")
    (parked,) = aws.sqs.receive_message(QueueUrl=aws.parked)["Messages"]
    assert parked["Body"] == dead["Body"]
    assert calls == granted(template, "IngestRole") - PLATFORM


def test_the_query_role_allows_exactly_its_calls(template: dict[str, Any], aws: Aws) -> None:
    aws.patch.setattr(query_wiring, "model", Host)
    aws.put("a.pdf", 1)
    aws.tag("legal")
    calls = aws.record()

    def ask(
        path: str, method: str = "GET", body: object = None, status: int = 200, **parameters: str
    ) -> dict[str, Any]:
        context = {"requestId": "request-1", "authorizer": {"principalId": "key:known"}, "stage": "live"}
        event: dict[str, Any] = {"path": path, "httpMethod": method, "requestContext": context}
        event |= {"queryStringParameters": parameters or None, "body": json.dumps(body) if body else None}
        answer = whole_answer(query(event, CONTEXT))
        assert answer["statusCode"] == status, answer["body"]
        return dict(json.loads(answer["body"]))

    ask("/v1/query", "POST", {"question": "when does the pump start"}, status=409)  # looks for new objects
    looked = {*calls}
    aws.changed("a.pdf")
    calls = aws.record()
    answer = ask("/v1/query", "POST", {"question": "when does the pump start"})
    assert answer["citations"][0]["link"]
    ask("/v1/documents", collection="default")
    for path in ("/v1/documents", "/v1/documents/a.pdf", f"/v1/receipts/{answer['request_id']}", "/v1/usage"):
        ask(path)
    ask("/v1/feedback", "POST", {"request_id": answer["request_id"], "verdict": "good"})
    ask("/v1/uploads", "POST", {"document": "b.pdf", "size": 9})
    # A caller by tags deletes nothing whose new tag ingest has not read.
    grants = PrincipalAdmin(boto3.client("dynamodb"), "principals")
    rules = frozenset({Rule(None, "", frozenset({("team", "legal")}))})
    grants.add(Grant("key:known", frozenset(), rules, writable=None, operates=True), replace=True)
    for team, status in (("hr", 404), ("legal", 200)):
        aws.tag(team)
        ask("/v1/documents/a.pdf", "DELETE", status=status)
    aws.sqs.send_message(QueueUrl=aws.parked, MessageBody=json.dumps({"docwell": {"key": "a.pdf"}}))
    assert ask("/v1/operations")["unknown"] == {}
    assert ask("/v1/operations/redrive", "POST") == {"redriven": 1, "waiting": 0}
    # A refused question reads the row that refused it.
    grants.add(Grant("key:known", collections=None, requests_per_day=1), replace=True)
    ask("/v1/documents", status=429)
    # Links are signed without a call. In a bucket without versions, they name none.
    links = {("s3:GetObject", "DocumentsBucket"), ("s3:GetObjectVersion", "DocumentsBucket")}
    waking = {("dynamodb:PutItem", "LedgerTable")}  # of a question while the model hosts sleep
    assert looked | calls | links | waking == granted(template, "QueryRole")


def test_the_reconcile_role_allows_exactly_its_calls(template: dict[str, Any], aws: Aws) -> None:
    calls = aws.record()
    aws.put("a.pdf", 1)
    reconcile({"action": "reconcile"}, CONTEXT)
    reconcile({"action": "reindex", "step": "start"}, CONTEXT)
    ingest_calls = set(calls)
    aws.work()
    calls.clear()
    calls.update(ingest_calls)
    reconcile({"action": "reindex", "step": "abort"}, CONTEXT)
    aws.tag("hr")
    # Reconcile deletes rows of an abandoned pipeline after a while.
    later = time.time() + FORGET_AFTER_S + 60
    plain = reconcile_wiring.reindex
    aws.patch.setattr(reconcile_wiring, "reindex", lambda: replace(plain(), clock=lambda: later))
    reconcile({"action": "reconcile"}, CONTEXT)
    for step in ("check", "flush", "forget"):
        reconcile({"action": "erase", "step": step, "keys": ["a.pdf"], "prefix": "a", "hint": True}, CONTEXT)
    assert calls == granted(template, "ReconcileRole")
