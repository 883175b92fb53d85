"""The local AWS server keeps what its user stores, announces each change, and refuses all others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import Mock
from urllib.parse import unquote_plus

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.sqs.models import Message, Queue, SQSBackend
from starlette.testclient import TestClient

from docwell.adapters.dynamodb.audit import DynamoAudit
from docwell.adapters.dynamodb.principals import DynamoApiKeys
from docwell.adapters.s3 import S3DocumentLinks, S3ObjectStore, S3Versions
from docwell.audit import Action
from docwell.identity import Principal, digest_of
from docwell.ingest.events import parse
from docwell.ingest.ingest import Ingest
from docwell.models import Attributes, CitationUnit, Hint, UnitKind
from infra.local.aws import patch_moto
from infra.local.aws_mirror import TableMirror
from infra.local.gateway import Gateway, Storage
from infra.local.names import AUDIT_TABLE, BUCKET, RESTORE_PRINCIPAL, STORAGE_PATH

from .local_parts import KEYS, Aws, aws_stand_in
from .waiting import until

pytestmark = pytest.mark.integration

TABLE = "docwell-ledger"
AWKWARD = "é 日本/a+b %&.pdf"


@pytest.fixture
def aws(aws_server: Aws) -> Aws:
    return aws_server


def events(bodies: list[str]) -> list[tuple[str, str]]:
    """(event name, key) of each S3 notification."""
    records = [record for body in bodies for record in json.loads(body).get("Records", [])]
    return [(record["eventName"], unquote_plus(record["s3"]["object"]["key"])) for record in records]


def test_each_change_of_an_object_sends_a_notification(aws: Aws) -> None:
    aws.receive_all()
    aws.s3.put_object(Bucket=BUCKET, Key=AWKWARD, Body=b"old")
    assert events(aws.receive_all()) == [("ObjectCreated:Put", AWKWARD)]
    newest = aws.s3.put_object(Bucket=BUCKET, Key=AWKWARD, Body=b"new")["VersionId"]
    aws.receive_all()
    aws.s3.delete_object(Bucket=BUCKET, Key=AWKWARD, VersionId=newest)
    assert events(aws.receive_all()) == [("ObjectRemoved:Delete", AWKWARD)]
    assert aws.s3.get_object(Bucket=BUCKET, Key=AWKWARD)["Body"].read() == b"old"
    aws.s3.delete_object(Bucket=BUCKET, Key=AWKWARD)
    assert events(aws.receive_all()) == [("ObjectRemoved:DeleteMarkerCreated", AWKWARD)]
    aws.s3.put_object(Bucket=BUCKET, Key="tagged.pdf", Body=b"1", Tagging="stage=draft")
    aws.receive_all()
    aws.s3.delete_object_tagging(Bucket=BUCKET, Key="tagged.pdf")
    assert events(aws.receive_all()) == [("ObjectTagging:Delete", "tagged.pdf")]


def test_a_message_costs_no_look_at_the_others_of_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, looks = type("Queue", (Queue,), {}), Mock(return_value=True)
    monkeypatch.setattr("moto.sqs.models.Queue", queue)
    monkeypatch.setattr("infra.local.aws.Queue", queue)
    monkeypatch.setattr("infra.local.aws.S3Response", Mock())
    monkeypatch.setattr(Message, "visible", property(looks))
    patch_moto()
    sqs = SQSBackend("us-east-1", "1")
    sqs.create_queue("queue", {})
    for _ in range(100):
        sqs.send_message("queue", "text")
    assert (len(sqs.receive_message("queue", 1, 0, 900)), looks.call_count) == (1, 2)
    assert str(sqs.get_queue_attributes("queue", ["All"])["ApproximateNumberOfMessages"]) == "100"


@pytest.mark.parametrize(
    ("key", "secret", "age_s"),
    [("mine", "guessed", 0), ("guessed", "secret", 0), ("mine", "secret", 960), ("mine", "secret", -960)],
)
def test_other_credentials_and_old_and_future_requests_are_refused(
    aws: Aws, key: str, secret: str, age_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_at = datetime.now(UTC) - timedelta(seconds=age_s)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: signed_at)
    session: Any = boto3.Session(key, secret, region_name="us-east-1")
    calls = {"s3": "list_buckets", "sqs": "list_queues", "dynamodb": "list_tables", "apigateway": "get_api_keys"}
    for service, call in calls.items():
        once = Config(retries={"total_max_attempts": 1})
        client = session.client(service, endpoint_url=aws.endpoint, config=once)
        with pytest.raises(ClientError, match="expired" if age_s else "not signed with the keys"):
            getattr(client, call)()


def test_a_key_with_a_control_character_stops_no_erasure_of_a_prefix_from_the_disk(aws: Aws) -> None:
    keys = ["erased/a\x01b.pdf", "erased/c%41 d.pdf", "erased/e\x1f.pdf"]
    for key in keys:
        for body in (b"erased", b"erased too"):
            aws.s3.put_object(Bucket="docwell-documents", Key=key, Body=body)
    versions = S3Versions(aws.s3, "docwell-documents")
    assert {version.key for version in versions.under("erased/")} == set(keys)
    versions.erase(versions.under("erased/"))
    assert versions.under("erased/") == []
    assert not [path for path in aws.data.rglob("objects/*") if b"erased" in path.read_bytes()]


def test_requests_without_a_signature_and_of_other_services_are_refused(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="kept.pdf", Body=b"kept")
    for method, path in [
        ("GET", f"/{BUCKET}/kept.pdf"),
        ("PUT", f"/{BUCKET}/new.pdf"),
        ("DELETE", f"/{BUCKET}/kept.pdf"),
        ("POST", "/moto-api/reset"),
        ("OPTIONS", f"/{BUCKET}"),
    ]:
        answer = httpx.request(method, aws.endpoint + path, trust_env=False)
        assert answer.status_code == 403, path
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert aws.s3.get_object(Bucket=BUCKET, Key="kept.pdf")["Body"].read() == b"kept"
    with pytest.raises(ClientError) as refused:
        aws.client("iam").list_users()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.fixture
def storage(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The documents bucket, by forms and links that lead through the gateway."""
    session = boto3.Session(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)  # links are signed with its keys
    app = Gateway(None, storage=Storage(aws.endpoint)).app  # type: ignore[arg-type] # no request needs the function
    with TestClient(app, base_url="http://127.0.0.1") as http:
        yield http


def test_a_form_stores_its_file_alone_and_a_link_reads_it_by_ranges(aws: Aws, storage: TestClient) -> None:
    body, key = b"%PDF-1.7 a small file", "forms/a b+é.pdf"
    s3 = aws.client("s3", signature_version="s3v4")
    links = S3DocumentLinks(s3, BUCKET, 60, f"http://127.0.0.1{STORAGE_PATH}")
    attributes = Attributes(metadata={"owner": "Zoë", "note": "a: b\nc: d"}, tags={"dept": "a/b é"})
    form = links.form(key, len(body), "application/pdf", attributes, Principal("key:a").as_uploader)

    def send(**changes: str) -> int:
        fields = {**form.fields, **changes}
        return storage.post(form.url, data=fields, files={"file": ("other.pdf", body)}).status_code

    forged = {"x-amz-meta-docwell-uploader": Principal("key:b").as_uploader}
    changes: list[dict[str, str]] = [{"key": "attic/a.pdf"}, {"acl": "public-read"}, {"policy": "e30="}, forged]
    changes += [{"tagging": ""}, {"x-amz-meta-owner": "B"}]
    assert [send(**change) for change in changes] == [403] * 6
    aws.receive_all()
    assert [send() for _ in range(4)] == [200] * 4
    stored = Mock(wraps=S3ObjectStore(s3, BUCKET))
    head = stored.head(key)
    assert (head.metadata, stored.tags(key, head)) == (attributes.metadata, attributes.tags)
    # Each use of the form is an event, also when its notification comes twice.
    trail = DynamoAudit(aws.client("dynamodb"), AUDIT_TABLE)
    ingest = Ingest(BUCKET, stored, Mock(), Mock(), Mock(), Mock(), "", trail=trail)
    versions = [hint.version for message in aws.receive_all() for hint in parse(message) if isinstance(hint, Hint)]
    for version in versions * 2:
        ingest.audit(key, version, head)
    assert stored.head.call_count == 1 + 2 * 3  # none again for the version that was read
    uploads = [(event.action, event.documents, event.subject) for event in trail.events("key:a")]
    assert sorted(uploads) == sorted((Action.STORED, frozenset({key}), version) for version in versions)
    assert len(set(versions)) == 4
    stored = s3.head_object(Bucket=BUCKET, Key=key)
    link = links.link(key, stored["VersionId"], CitationUnit(UnitKind.PAGE, "3", "page=3"))
    document, part = storage.get(link), storage.get(link, headers={"range": "bytes=1-3"})
    assert document.content == body
    assert document.headers["content-security-policy"].startswith("sandbox")
    assert (part.status_code, part.content) == (206, body[1:4])
    assert storage.get(link.replace("a%20b", "other")).status_code == 403
    assert storage.get(f"{STORAGE_PATH}/{BUCKET}/?list-type=2").status_code == 403


@pytest.mark.parametrize("damage", ["", "[{", "\0" * 40])
def test_a_damaged_table_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "ledger.json"
    path.write_text(damage)
    with pytest.raises(OSError, match=r"ledger\.json is damaged"):
        TableMirror(path, Mock(schema=[])).restore()


# --- after a kill ---

RECEIPT: dict[str, Any] = {"principal": {"S": "key:k"}, "request_id": {"S": "r"}, "body": {"B": bytes(range(256))}}
LOCAL: dict[str, Any] = {"principal": {"S": "key:local"}, "item": {"S": "grant"}}
FINAL: Any = [{"Key": "stage", "Value": "final"}]
LIMITED = {**LOCAL, "collections": {"SS": ["b"]}}


class Revived(NamedTuple):
    """A server that was killed and started again, with one damaged document."""

    aws: Aws
    put: dict[str, Any]
    content: Path


def fill(aws: Aws, folder: Path) -> dict[str, Any]:
    """Store objects, rows and tags, and return S3's answer about each object."""
    keys = (AWKWARD, "replaced.pdf", "deleted.pdf", "damaged.pdf")
    tagged = {"ContentType": "application/pdf", "Metadata": {"who": "me"}, "Tagging": "stage=draft"}
    put = {key: aws.s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode(), **tagged) for key in keys}
    aws.s3.put_object_tagging(Bucket=BUCKET, Key=AWKWARD, Tagging={"TagSet": FINAL})
    put["replaced.pdf"] = aws.s3.put_object(Bucket=BUCKET, Key="replaced.pdf", Body=b"new")
    aws.s3.delete_object(Bucket=BUCKET, Key="deleted.pdf")
    for key in (AWKWARD, "deleted.pdf"):
        item = {"document": {"S": key}, "pipeline": {"S": "f"}, "collection": {"S": "default"}}
        item |= {"lease_expires": {"N": "9999999999"}, "fence": {"N": "3"}}
        aws.dynamodb.put_item(TableName=TABLE, Item=item)
    aws.dynamodb.put_item(TableName="docwell-receipts", Item=RECEIPT)
    aws.dynamodb.put_item(TableName="docwell-principals", Item=LIMITED)
    written = (json.dumps(AWKWARD), "deleted.pdf", '"SS": ["b"]', '"request_id"')
    until(lambda: all(text in "".join(path.read_text() for path in folder.glob("*.json")) for text in written))
    return put


@pytest.fixture(scope="module")
def revived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Revived]:
    folder = tmp_path_factory.mktemp("aws")
    with aws_stand_in(folder) as first:
        put = fill(first, folder)
        first.child.kill()
    (damaged,) = (path for path in (folder / "objects").glob("*.json") if "damaged.pdf" in path.read_text())
    damaged.write_text("")
    with aws_stand_in(folder) as second:
        (content,) = (folder / "objects").glob(f"{damaged.stem}.*.bin")
        yield Revived(second, put, content)


def test_objects_survive_a_kill_and_each_is_announced_again(revived: Revived) -> None:
    s3 = revived.aws.s3
    head = s3.head_object(Bucket=BUCKET, Key=AWKWARD)
    assert (head["VersionId"], head["ETag"]) == tuple(revived.put[AWKWARD][name] for name in ("VersionId", "ETag"))
    assert (head["ContentType"], head["Metadata"]) == ("application/pdf", {"who": "me"})
    assert s3.get_object(Bucket=BUCKET, Key=AWKWARD)["Body"].read() == AWKWARD.encode()
    assert s3.get_object_tagging(Bucket=BUCKET, Key=AWKWARD)["TagSet"] == FINAL
    assert {entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]} == {AWKWARD, "replaced.pdf"}
    newest = s3.get_object(Bucket=BUCKET, Key="replaced.pdf")
    assert (newest["VersionId"], newest["Body"].read()) == (revived.put["replaced.pdf"]["VersionId"], b"new")
    bodies = revived.aws.receive_all()
    assert sorted(events(bodies)) == [
        ("ObjectCreated:Put", "replaced.pdf"),
        ("ObjectCreated:Put", AWKWARD),
        ("ObjectRemoved:DeleteMarkerCreated", "deleted.pdf"),
    ]
    assert all(RESTORE_PRINCIPAL in body for body in bodies)


def test_rows_survive_a_kill_leases_end_with_it_and_the_key_is_of_the_new_start(revived: Revived) -> None:
    def item(table: str, **key: Any) -> Any:
        return revived.aws.dynamodb.get_item(TableName=table, Key=key)["Item"]

    row = item(TABLE, document={"S": AWKWARD}, pipeline={"S": "f"})
    assert (row["fence"]["N"], row["lease_expires"]["N"]) == ("3", "0")
    receipt = item("docwell-receipts", principal=RECEIPT["principal"], request_id=RECEIPT["request_id"])
    assert receipt["body"]["B"] == RECEIPT["body"]["B"]
    assert item("docwell-principals", **LOCAL) == LIMITED
    key = DynamoApiKeys(revived.aws.dynamodb, "docwell-principals").find(digest_of(KEYS["DOCWELL_API_KEY"]))
    assert (key and (key.principal, key.ends_at)) == ("key:local", None)


def test_a_damaged_document_is_named_and_its_content_stays_until_it_is_replaced(revived: Revived) -> None:
    assert any("WARNING" in line and "is damaged" in line for line in revived.aws.lines)
    assert revived.content.read_bytes() == b"damaged.pdf"
