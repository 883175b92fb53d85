"""`docwell erase` on moto and a real Chroma server: afterwards no file of the server has the text."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from moto import mock_aws
from typer.testing import CliRunner, Result

from docwell.adapters.aws import client
from docwell.adapters.chroma_file import vacuum
from docwell.adapters.dynamodb.audit import DynamoAudit
from docwell.adapters.dynamodb.receipts import DynamoReceipts
from docwell.adapters.s3 import S3Versions
from docwell.audit import Action, AuditEvent, pseudonym
from docwell.cli import erase as command
from docwell.cli.app import app
from docwell.cli.erase import Erasure
from docwell.cli.settings import Failure
from docwell.errors import Unavailable
from docwell.models import Hint, Status
from docwell.upkeep.erase import Erase
from infra.local.names import AUDIT_SCHEMA, LEDGER_SCHEMA, RECEIPTS_SCHEMA

from .reconcile_world import World
from .test_receipts import RECEIPT
from .waiting import Clock

pytestmark = pytest.mark.integration
KEY, OTHER, SIBLING = "people/é anna.pdf", "people/berta.pdf", "people/é anna.pdf.pdf"


@dataclass
class Erasing:
    """A bucket with two versions of a document and two neighbours, indexed by two pipelines."""

    world: World
    folder: Path
    secret: str = field(default_factory=lambda: f"quokka{uuid.uuid4().hex}")
    calls: int = 0
    works: bool = False  # whether the function is called
    before_call: Callable[[int], None] = lambda _: None

    def __post_init__(self) -> None:
        for body in (
            f"an old {self.secret} sleeps",
            f"the {self.secret} swims\f\u2603\u2604\u2605 of {self.secret}",
        ):
            self.world.put(KEY, body)
        self.world.put(OTHER, "the pump starts")
        self.world.put(SIBLING, "the valve closes")
        self.world.queue.send([Hint(key) for key in (KEY, OTHER, SIBLING)])
        self.world.work(self.world.known)
        self.receipts = DynamoReceipts(client("dynamodb"), "receipts", days=2)
        self.trail = DynamoAudit(client("dynamodb"), "audit")
        for name, document in (("one", KEY), ("two", OTHER)):
            self.keep(name, document)
            self.trail.append(AuditEvent("key:a", Action.ASKED, frozenset({document}), request_id=name))
        # The conversation goes on, and no later turn has a passage of the document.
        for turn in range(3):
            told = [f"the {self.secret} of turn {earlier}" for earlier in range(turn)]
            self.keep(f"turn {turn}", KEY if turn == 0 else OTHER, f"the {self.secret} of turn {turn}", told)

    def keep(self, name: str, document: str, answer: str = "", told: Sequence[str] = ()) -> None:
        request = {"question": "Why?", "history": [{"question": "Why?", "answer": earlier} for earlier in told]}
        receipt = replace(RECEIPT, request_id=name, request=request, passages=(("id", document, "v1"),))
        created_at = RECEIPT.created_at + len(told)
        self.receipts.keep(replace(receipt, created_at=created_at, answer={"answer": answer or name}))

    def words(self) -> bytes:
        """Return the content of each table, object version, message and temporary file."""
        tables = boto3.resource("dynamodb").tables.all()
        versions = boto3.resource("s3").Bucket(self.world.bucket).object_versions.all()
        contents = [version.get()["Body"].read() for version in versions if version.size is not None]
        contents += [path.read_bytes() for path in Path(tempfile.gettempdir()).rglob("*") if path.is_file()]
        for value in (value for table in tables for row in table.scan()["Items"] for value in row.values()):
            packed = getattr(value, "value", b"")
            contents.append(zlib.decompress(packed) if packed[:1] == b"x" else repr(value).encode())
        queue = boto3.client("sqs").receive_message(QueueUrl=self.world.queue_url, MaxNumberOfMessages=10)
        return b" ".join([*contents, str(queue.get("Messages")).encode()])

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        """Answer as the reconcile function does, and let ingest work."""
        self.calls += 1
        self.before_call(self.calls)
        self.works = True
        parts = [(self.world.ledger(pipeline), self.world.index(pipeline)) for pipeline in self.world.known]
        answer = Erase(self.world.store, self.world.queue, parts, self.world.clock).run(event)
        self.world.work(self.world.known)
        self.works = False
        return answer

    def erase(self, *arguments: str, typed: str = "") -> Result:
        where = {
            "DOCWELL_ENDPOINT": "http://unused.invalid",
            "DOCWELL_BUCKET": self.world.bucket,
            "DOCWELL_RECEIPTS_TABLE": "receipts",
            "DOCWELL_AUDIT_TABLE": "audit",
        }
        Path("docwell.toml").write_text(f"chroma_folder = {json.dumps(str(self.folder))}")
        return CliRunner().invoke(app, ["erase", *arguments], env=where, input=typed)

    def chroma_has(self, text: str) -> bool:
        """Return whether the SQLite files have it: Chroma fills unused places of a vector file from its memory."""
        files = list(self.folder.glob("chroma.sqlite3*"))
        assert files
        return any(text.encode() in path.read_bytes() for path in files)

    def check_gone(self) -> None:
        """Check that nothing of the document is left, and that its neighbours are complete."""
        assert self.secret.encode() not in self.words()
        self.world.queue.send([Hint(KEY), Hint(KEY, sweep=True)])  # late messages
        self.world.work(self.world.known)
        versions = S3Versions(client("s3"), self.world.bucket)
        assert {version.key for version in versions.under("")} == {OTHER, SIBLING}
        for pipeline in self.world.known:
            assert set(self.world.ledger(pipeline).rows_of([KEY, OTHER, SIBLING])) == {OTHER, SIBLING}
            index = self.world.index(pipeline)
            assert not index.ids("people", KEY)
            assert len(index.ids("people", OTHER)) == len(index.ids("people", SIBLING)) == 1
        assert not self.chroma_has(self.secret)
        assert not self.chroma_has("\u2604\u2605")  # of a trigram in the full-text index
        assert self.receipts.get("key:a", "one") is None
        assert self.receipts.get("key:a", "two") is not None
        named = {document for event in self.trail.events() for document in event.documents}
        assert named == {OTHER, pseudonym(KEY)}
        assert Action.ERASED in {event.action for event in self.trail.events(document=KEY)}


@pytest.fixture
def erasing(
    chroma_url: str, chroma_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Erasing]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(command, "_PAUSE_S", 0.01)
    with mock_aws():
        bucket = f"documents-{uuid.uuid4().hex[:8]}"
        boto3.client("s3").create_bucket(Bucket=bucket)
        boto3.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        queue = boto3.client("sqs").create_queue(QueueName="ingest")["QueueUrl"]
        schemas = {"ledger": LEDGER_SCHEMA, "receipts": RECEIPTS_SCHEMA, "audit": AUDIT_SCHEMA}
        for name, schema in schemas.items():
            boto3.client("dynamodb").create_table(TableName=name, **schema)
        world = World(chroma_url, bucket, queue, Clock(), (uuid.uuid4().hex, uuid.uuid4().hex))
        erasing = Erasing(world, chroma_folder)
        monkeypatch.setattr(command, "ReconcileFunction", lambda _: erasing)
        yield erasing


@pytest.mark.parametrize("deleted", [False, True])
def test_nothing_of_an_erased_document_is_left(erasing: Erasing, *, deleted: bool) -> None:
    if deleted:
        erasing.world.delete(KEY)
        erasing.world.queue.send([Hint(KEY)])
        erasing.world.work(erasing.world.known)
    assert erasing.chroma_has(erasing.secret)
    assert erasing.words().count(erasing.secret.encode()) >= 3  # of the receipts, and of the versions
    result = erasing.erase(KEY, "--yes", "--json")
    assert result.exit_code == 0, result.output
    erasing.check_gone()
    report = json.loads(result.stdout[result.stdout.index("{\n") :])
    counts = [report["erased"][name] for name in ("versions", "receipts", "ledger_rows", "audit_events")]
    assert (report["documents"], counts) == ([KEY], [2 + deleted, 4, 2, 1])
    assert (report["left"], report["remains"]) == ([], {})
    assert erasing.secret not in result.output


def test_a_prefix_erases_all_documents_under_it(erasing: Erasing) -> None:
    result = erasing.erase("--prefix", "people/é", "--yes")
    assert result.exit_code == 0, result.output
    assert f"{KEY}, {SIBLING}" in result.stdout
    assert {version.key for version in S3Versions(client("s3"), erasing.world.bucket).under("")} == {OTHER}


def test_a_dry_run_and_a_wrong_name_change_nothing(erasing: Erasing) -> None:
    for result in (erasing.erase(KEY, "--dry-run"), erasing.erase(KEY, typed="people/e anna.pdf\n")):
        assert "versions: 2;" in result.output
    assert len(S3Versions(client("s3"), erasing.world.bucket).of(KEY)) == 2
    for pipeline in erasing.world.known:
        record = erasing.world.ledger(pipeline).get(KEY)
        assert record is not None
        assert record.status is Status.INDEXED
    assert erasing.receipts.get("key:a", "one") is not None
    assert erasing.erase(KEY, typed=f"{KEY}\n").exit_code == 0
    erasing.check_gone()


@pytest.mark.slow
def test_an_erasure_that_is_killed_at_any_call_leaves_nothing_to_the_next(
    erasing: Erasing, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, killed = 0, 0
    send: Any = BaseClient._make_api_call  # type: ignore[attr-defined] # of botocore

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls > killed:
            raise Failure("killed")

    def counted(client: Any, operation: str, arguments: Any) -> Any:
        if not erasing.works:
            count()
        return send(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", counted)
    erasing.before_call = count
    while erasing.erase(KEY, "--yes").exit_code:
        calls, killed = 0, killed + 1
    assert killed >= 15
    monkeypatch.undo()
    erasing.check_gone()


def test_what_a_step_leaves_is_reported(erasing: Erasing, monkeypatch: pytest.MonkeyPatch) -> None:
    class Idle(Erasure):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            steps = self.stores.items()
            self.stores = {
                name: partial(lambda step, erased: step(replace(erased, dry_run=True)), step)
                for name, step in steps
            }

    with monkeypatch.context() as patched:
        patched.setattr(command, "Erasure", Idle)
        result = erasing.erase(KEY, "--yes", "--json")
    erasing.erase(KEY, "--yes")  # other tests share the file of Chroma
    assert result.exit_code == 1
    report = json.loads(result.stdout[result.stdout.index("{\n") : result.stdout.rindex("}\n") + 1])
    assert report["remains"].keys() == {"versions", "chunks", "receipts", "audit_events", "ledger_rows"}


def test_a_receipt_that_cannot_be_read_is_named_and_stops_nothing(erasing: Erasing) -> None:
    row = {"principal": "key:a", "request_id": "damaged", "body": b"of no kind"}
    boto3.resource("dynamodb").Table("receipts").put_item(Item=row)
    result = erasing.erase(KEY, "--yes", "--json")
    assert (result.exit_code, "key:a damaged" in result.output) == (1, True)
    assert "delete the unreadable receipts from receipts" in result.output
    erasing.check_gone()


def test_an_upload_during_the_erasure_stays_and_is_reported(erasing: Erasing) -> None:
    def upload(call: int) -> None:
        if call == 5:
            erasing.world.put(KEY, "another document")
            erasing.world.queue.send([Hint(KEY)])

    erasing.before_call = upload
    result = erasing.erase(KEY, "--yes")
    assert "uploaded again meanwhile" in result.output or erasing.world.store.head(KEY) is not None
    assert not erasing.chroma_has(erasing.secret)
    for pipeline in erasing.world.known:
        assert erasing.world.ledger(pipeline).get(KEY) is not None


def test_a_document_with_a_worker_is_not_forgotten(erasing: Erasing, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = erasing.world.ledger()
    lease = ledger.acquire(KEY, "a worker")
    assert lease is not None
    with monkeypatch.context() as patched:
        patched.setattr(command, "LONGEST_WAIT_S", 1.0)
        result = erasing.erase(KEY, "--yes", "--json")
    assert result.exit_code == 1
    assert "not yet gone" in result.output
    report = json.loads(result.stdout[result.stdout.index("{\n") : result.stdout.rindex("}\n") + 1])
    assert (report["erased"]["chunks"] < 4, report["erased"]["ledger_rows"]) == (True, 0)
    assert ledger.get(KEY) is not None
    while lease := ledger.release(lease):  # marked to look again
        pass
    result = erasing.erase(KEY, "--yes")
    assert result.exit_code == 0, result.output
    erasing.check_gone()


@pytest.mark.parametrize("arguments", [[], ["a.pdf", "--prefix", "a"], ["--prefix", ""]])
def test_it_takes_one_key_or_one_prefix(erasing: Erasing, arguments: list[str]) -> None:
    assert erasing.erase(*arguments, "--yes").exit_code == 2


def test_a_folder_without_chroma_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        vacuum(tmp_path)
    sqlite3.connect(tmp_path / "chroma.sqlite3").close()
    with pytest.raises(Unavailable):
        vacuum(tmp_path)
