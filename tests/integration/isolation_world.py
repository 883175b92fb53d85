"""Principals with separate collections, and the query function with AWS in process.

Real: the handler, the routes, the ledger, principals and receipts on moto. In memory: vectors, the embedder,
and a model that repeats every secret that it was given, so that a leak shows in the answer.
"""

from __future__ import annotations

import json
import logging
import os
import re
import zlib
from base64 import urlsafe_b64decode
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from docwell import observability
from docwell.adapters import chroma, model_hosts
from docwell.adapters.aws import client
from docwell.adapters.dynamodb.ledger import DynamoLedger
from docwell.adapters.dynamodb.principals import Grant, PrincipalAdmin
from docwell.adapters.embedding import model_manifest, onnx_embedder
from docwell.adapters.model_profiles import profile_of
from docwell.answers import Completion, Message
from docwell.http import sse
from docwell.models import Attributes, Chunk, DocumentRecord, IndexRecord, Reason, Status, collection_of
from docwell.ports import ModelFacts
from docwell.wiring import query as wiring
from docwell.wiring.pipelines import pipelines
from functions.query.handler import handler
from infra.local.names import AUDIT_TABLE, TABLES
from tests.fresh_wiring import clear_caches
from tests.unit.cases import rows
from tests.unit.fakes import FakeEmbedder, FakeIndex
from tests.unit.http.http_calls import CONTEXT, whole_answer

DOCUMENTS_EACH = 3
# The collections. Each document has a unique word in its name and text.
COLLECTIONS = ("amber", "birch", "cedar", "dahlia", "elder", "fjord")
QUESTION = "what is the secret word of the vault"
_SECRET = re.compile(r"secret-\w+")


@dataclass(frozen=True)
class Person:
    """`context` is the gateway's description of the caller."""

    name: str
    context: dict[str, Any]
    collections: frozenset[str]

    @property
    def hidden(self) -> list[str]:
        """The collections that this person must never see."""
        return [name for name in COLLECTIONS if name not in self.collections]


def _named(principal: str, **identity: str) -> dict[str, Any]:
    return {"authorizer": {"principalId": principal}, "identity": identity}


def with_key(name: str, *collections: str) -> Person:
    return Person(name, _named(f"key:{name}", apiKey=f"value-of-{name}"), frozenset(collections))


PEOPLE = (
    with_key("one", "amber", "birch"),
    with_key("two", "cedar", "dahlia"),
    # A member of two groups, without own grants.
    Person(
        "three",
        {"authorizer": {"principalId": "sub:three", "groups": '["elders", "birches", "no-such-group"]'}},
        frozenset({"elder", "birch"}),
    ),
    with_key("nothing"),  # no collections
)
# May operate the system, and read only its own collections.
OPERATOR = "two"
# Callers that are in no table, and events without a caller.
UNKNOWN_CALLERS: list[dict[str, Any]] = rows(__file__, "unknown_callers")


def word(collection: str, number: int) -> str:
    return f"{collection}{number}kept"


def failed(collection: str) -> str:
    """Return the key of the document that ingest gave up."""
    return f"{collection}/given-up.pdf"


def key(collection: str, number: int) -> str:
    return f"{collection}/{word(collection, number)} of {collection}.pdf"


def attributes_of(collection: str, number: int) -> Attributes:
    """Return a document's attributes: some equal in all collections, some with its unique word."""
    unique = word(collection, number)
    return Attributes(
        title=f"title {unique}",
        author=f"author of {collection}",
        created=f"2026-01-{number + 1:02}",
        metadata={"owner": collection, "number": str(number)},
        tags={"secret": unique, "stage": "final"},
    )


class ManifestedEmbedder(FakeEmbedder):
    """The fake embedder of a model without kept vectors."""

    manifest = SimpleNamespace(fingerprint="fake", made_from={})


class EchoModel:
    """Repeats every secret of its prompt, each with the marker of its passage."""

    name = "echo"
    profile = profile_of("smollm2")

    def __init__(self, *_: Any, **__: Any) -> None:
        self.prompts: list[str] = []

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        prompt = "\n".join(message.content for message in messages)
        self.prompts.append(prompt)
        secrets = enumerate(_SECRET.findall(prompt), 1)
        text = " ".join(f"The secret word of the vault is {secret} [{n}]." for n, secret in secrets) or QUESTION
        yield text
        yield Completion(text, len(prompt) // 4, 20, "stop")

    async def check(self) -> None:
        return None

    async def facts(self) -> ModelFacts:
        return ModelFacts(8192, "sha256:0")

    @property
    def options(self) -> Mapping[str, int | float]:
        return {"num_ctx": 8192}

    def writing_at_most(self, num_predict: int) -> EchoModel:
        return self


@dataclass(frozen=True)
class Reply:
    """`everything` is all output except the prompt: answer, headers, logs, metrics, decoded cursors.

    The body of a stream is the newest event of each name.
    """

    status: int
    body: Any
    headers: Mapping[str, Any]
    everything: str
    prompts: tuple[str, ...]

    def comparable(self) -> tuple[int, str, str]:
        """Return the comparable part of a reply: all but the request id, times and costs."""
        body = {name: value for name, value in self.body.items() if name not in ("timings_ms", "cost")}
        return self.status, json.dumps(body, sort_keys=True), json.dumps(dict(self.headers), sort_keys=True)


class World:
    admin: PrincipalAdmin
    ledger: DynamoLedger
    index: FakeIndex

    def __init__(self, model: EchoModel) -> None:
        self._model = model
        self._log = StringIO()
        self.last_id = ""  # of the newest request
        self.log_handler = logging.StreamHandler(self._log)
        self.log_handler.setFormatter(observability.logger.registered_formatter)

    def ask(
        self, context: Mapping[str, Any], method: str, path: str, body: Any = None, **query: str | None
    ) -> Reply:
        """Send one request as the gateway passes it on."""
        parameters = {name: value for name, value in query.items() if value is not None} or None
        headers = {"accept": "application/json", "content-type": "application/json"}
        event = {
            "resource": "/{proxy+}",
            "path": path,
            "httpMethod": method,
            "headers": headers,
            "multiValueHeaders": {name: [value] for name, value in headers.items()},
            "queryStringParameters": parameters,
            "multiValueQueryStringParameters": (
                {name: [value] for name, value in parameters.items()} if parameters else None
            ),
            "requestContext": {"requestId": "gateway", "stage": "v1", "identity": {}, **context},
            "body": body if isinstance(body, str) or body is None else json.dumps(body),
            "isBase64Encoded": False,
        }
        self._model.prompts.clear()
        self._log.seek(0)
        self._log.truncate()
        printed = StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            answer = whole_answer(handler(event, CONTEXT))
        sent = answer.get("multiValueHeaders") or answer["headers"]
        self.last_id = (
            sent["x-request-id"][0] if "x-request-id" in sent else json.loads(answer["body"])["request_id"]
        )
        text = answer["body"].replace(self.last_id, "REQUEST")
        headers = {name: value for name, value in sent.items() if name != "x-request-id"}
        lines = [line for line in text.splitlines() if line != "data: [DONE]"]
        parsed = dict(sse.read(lines)) if sse.CONTENT_TYPE in str(headers) else json.loads(text)
        output = [json.dumps(answer), _opened(parsed.get("cursor")), self._log.getvalue(), printed.getvalue()]
        return Reply(answer["statusCode"], parsed, headers, "\n".join(output), tuple(self._model.prompts))

    def add(self, name: str, unique: str, attributes: Attributes, size: int = 0) -> None:
        """Index a document whose text has its `unique` word, or replace its attributes."""
        text = f"The secret word of the vault is secret-{unique}."
        lease = self.ledger.acquire(name, "test")
        assert lease is not None
        record = DocumentRecord(
            name,
            Status.INDEXED,
            title=f"title {unique}",
            size=size,
            version="v1",
            live_version="v1",
            live_generation="g",
            live_attributes=attributes,
            chunks=1,
            pages=1,
        )
        self.ledger.release(self.ledger.write(lease, record, fresh=True))
        chunk = Chunk(text, 1, 0, len(text), len(text.split()), label=unique)
        vector = FakeEmbedder().embed_passages([text])[0].tolist()
        self.index.upsert(collection_of(name), [IndexRecord(f"id-{unique}", name, "g", "v1", chunk, vector)])


def _opened(cursor: Any) -> str:
    return zlib.decompress(urlsafe_b64decode(cursor)).decode() if isinstance(cursor, str) else ""


def _fill(world: World) -> None:
    """Index documents in each collection, and let ingest give up one that answers no question."""
    for collection in COLLECTIONS:
        for number in range(DOCUMENTS_EACH):
            attributes = attributes_of(collection, number)
            world.add(key(collection, number), word(collection, number), attributes, number)
        lease = world.ledger.acquire(failed(collection), "test")
        assert lease is not None
        record = DocumentRecord(failed(collection), Status.FAILED, reason=Reason.INTERNAL)
        world.ledger.release(world.ledger.write(lease, record, fresh=True))


def _let_in(admin: PrincipalAdmin) -> None:
    for person in PEOPLE:
        principal = person.context["authorizer"]["principalId"]
        if principal.startswith("key:"):
            label, operates = f"label of {person.name}", person.name == OPERATOR
            admin.add(Grant(principal, person.collections, label=label, operates=operates))
    admin.add(Grant("group:elders", frozenset({"elder"})))
    admin.add(Grant("group:birches", frozenset({"birch"})))
    admin.add(Grant("group:two", None))  # a group named like a key, which may read all
    admin.add(Grant("sub:one", None))  # a subject named like a key


@contextmanager
def isolated_world(folder: Path, *, filled: bool = True) -> Iterator[World]:
    """Yield the query function with all its tables."""
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "DOCWELL_BUCKET": "documents",
        "DOCWELL_CHROMA_URL": "http://127.0.0.1:1",
        "DOCWELL_OLLAMA_URL": "http://127.0.0.1:1",
        "DOCWELL_MODEL_DIR": str(folder),
        "DOCWELL_MODEL": EchoModel.name,
        "DOCWELL_DEADLINE_S": "300",  # a busy machine must not cause a timeout
        "DOCWELL_LEDGER_TABLE": "docwell-ledger",
        "DOCWELL_PRINCIPALS_TABLE": "docwell-principals",
        "DOCWELL_USAGE_TABLE": "docwell-usage",
        "DOCWELL_RECEIPTS_TABLE": "docwell-receipts",
        "DOCWELL_AUDIT_TABLE": AUDIT_TABLE,
    }
    index, model = FakeIndex(), EchoModel()
    world = World(model)
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in [name for name in os.environ if name.startswith(("DOCWELL_", "AWS_"))]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(chroma, "ChromaIndex", lambda *_, **__: index)
        patch.setattr(model_hosts, "OllamaModel", lambda *_, **__: model)
        patch.setattr(onnx_embedder, "OnnxEmbedder", lambda *_, **__: ManifestedEmbedder())
        patch.setattr(model_manifest.ModelManifest, "read", lambda _: ManifestedEmbedder.manifest)
        clear_caches()
        for name, schema in TABLES.items():
            boto3.client("dynamodb").create_table(TableName=name, **schema)
        for variable in ("DOCWELL_QUEUE_URL", "DOCWELL_PARKED_QUEUE_URL"):
            patch.setenv(variable, boto3.client("sqs").create_queue(QueueName=variable)["QueueUrl"])
        fingerprint = next(iter(pipelines(wiring.query_settings())))
        world.ledger, world.index = DynamoLedger(client("dynamodb"), "docwell-ledger", fingerprint), index
        if filled:
            _fill(world)
        world.admin = PrincipalAdmin(client("dynamodb"), "docwell-principals")
        _let_in(world.admin)
        observability.logger.addHandler(world.log_handler)
        try:
            yield world
        finally:
            observability.logger.handlers.remove(world.log_handler)
            clear_caches()
