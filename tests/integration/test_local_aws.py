"""The local AWS server keeps what its user stores, announces each change, and refuses all others."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import unquote_plus

import boto3
import httpx
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from starlette.testclient import TestClient

from docwell.access.authorizer import digest_of
from docwell.adapters.dynamodb.principals import DynamoApiKeys
from docwell.adapters.s3 import S3DocumentLinks
from docwell.models import CitationUnit, UnitKind
from infra.local.aws_mirror import ApiKeyMirror, TableMirror
from infra.local.gateway import Gateway, Storage
from infra.local.names import BUCKET, RESTORE_PRINCIPAL, STORAGE_PATH

from .local_parts import KEYS, Aws, aws_stand_in
from .waiting import until

pytestmark = pytest.mark.integration

TABLE = "docwell-ledger"
AWKWARD = "é 日本/a+b %&.pdf"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with aws_stand_in(tmp_path_factory.mktemp("aws")) as stand_in:
        yield stand_in


def events(bodies: list[str]) -> list[tuple[str, str]]:
    """(event name, key) of each S3 notification."""
    records = [record for body in bodies for record in json.loads(body).get("Records", [])]
    return [(record["eventName"], unquote_plus(record["s3"]["object"]["key"])) for record in records]


def wait_until_written(folder: Path, *texts: str) -> None:
    """Wait until the tables are on disk, about half a second after a change."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        tables = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.json"))
        if all(text in tables or json.dumps(text)[1:-1] in tables for text in texts):
            return
        time.sleep(0.1)
    raise AssertionError(f"not written: {texts}")


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


def test_the_aws_command_line_uploads_in_parts_and_gets_the_same_bytes_back(aws: Aws, tmp_path: Path) -> None:
    source, copy = tmp_path / "a.pdf", tmp_path / "b.pdf"
    source.write_bytes(bytes(range(256)) * 80_000)  # 20 MB: three parts
    command = [str(Path(sys.executable).with_name("aws")), "--endpoint-url", aws.endpoint, "s3", "cp"]
    environment = {**KEYS, "AWS_DEFAULT_REGION": "us-east-1"}
    for pair in ([str(source), f"s3://{BUCKET}/big.pdf"], [f"s3://{BUCKET}/big.pdf", str(copy)]):
        subprocess.run([*command, *pair], env=environment, check=True, capture_output=True)
    assert copy.read_bytes() == source.read_bytes()


def test_objects_and_ledger_survive_a_kill_and_are_announced_again(tmp_path: Path) -> None:
    with aws_stand_in(tmp_path) as first:
        first.s3.put_object(Bucket=BUCKET, Key="replaced.pdf", Body=b"old")
        first.s3.put_object(Bucket=BUCKET, Key="deleted.pdf", Body=b"gone")
        stored = first.s3.put_object(
            Bucket=BUCKET, Key=AWKWARD, Body=b"kept", ContentType="application/pdf", Metadata={"who": "me"}
        )
        replaced = first.s3.put_object(Bucket=BUCKET, Key="replaced.pdf", Body=b"new")
        first.s3.delete_object(Bucket=BUCKET, Key="deleted.pdf")
        for name in (AWKWARD, "deleted.pdf"):
            item = {
                "document": {"S": name},
                "pipeline": {"S": "f"},
                "collection": {"S": "default"},
                "lease_expires": {"N": "9999999999"},
                "fence": {"N": "3"},
            }
            first.dynamodb.put_item(TableName=TABLE, Item=item)
        wait_until_written(tmp_path, AWKWARD, "deleted.pdf")
        first.child.kill()
    with aws_stand_in(tmp_path) as second:
        head = second.s3.head_object(Bucket=BUCKET, Key=AWKWARD)
        assert (head["VersionId"], head["ETag"]) == (stored["VersionId"], stored["ETag"])
        assert (head["ContentType"], head["Metadata"]) == ("application/pdf", {"who": "me"})
        assert second.s3.get_object(Bucket=BUCKET, Key=AWKWARD)["Body"].read() == b"kept"
        listed = second.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
        assert [entry["Key"] for entry in listed] == sorted([AWKWARD, "replaced.pdf"])
        newest = second.s3.get_object(Bucket=BUCKET, Key="replaced.pdf")
        assert (newest["VersionId"], newest["Body"].read()) == (replaced["VersionId"], b"new")
        key = {"document": {"S": AWKWARD}, "pipeline": {"S": "f"}}
        item = second.dynamodb.get_item(TableName=TABLE, Key=key)["Item"]
        assert (item["fence"]["N"], item["lease_expires"]["N"]) == ("3", "0")
        bodies = second.receive_all()
        assert sorted(events(bodies)) == [
            ("ObjectCreated:Put", "replaced.pdf"),
            ("ObjectCreated:Put", AWKWARD),
            ("ObjectRemoved:DeleteMarkerCreated", "deleted.pdf"),
        ]
        assert sum(RESTORE_PRINCIPAL in body for body in bodies) == 3


def test_tags_send_a_notification_and_survive_a_kill(tmp_path: Path) -> None:
    def tag(aws: Aws, key: str, value: str) -> None:
        tagging = {"TagSet": [{"Key": "stage", "Value": value}]}
        aws.s3.put_object_tagging(Bucket=BUCKET, Key=key, Tagging=tagging)

    def stage(aws: Aws, key: str) -> list[str]:
        return [tag["Value"] for tag in aws.s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]]

    keys = (AWKWARD, "untagged.pdf", "retagged.pdf")
    with aws_stand_in(tmp_path) as first:
        for key in keys:
            first.s3.put_object(Bucket=BUCKET, Key=key, Body=b"1", Tagging="stage=draft")
        first.receive_all()
        tag(first, "retagged.pdf", "final")
        assert events(first.receive_all()) == [("ObjectTagging:Put", "retagged.pdf")]
        first.s3.delete_object_tagging(Bucket=BUCKET, Key="untagged.pdf")
        assert events(first.receive_all()) == [("ObjectTagging:Delete", "untagged.pdf")]
        first.child.kill()
    with aws_stand_in(tmp_path) as second:
        assert [stage(second, key) for key in keys] == [["draft"], [], ["final"]]


def test_principals_receipts_and_api_keys_survive_a_kill_and_the_local_key_is_always_there(tmp_path: Path) -> None:
    receipt: dict[str, Any] = {
        "principal": {"S": "key:k"},
        "request_id": {"S": "r"},
        "body": {"B": bytes(range(256))},
    }
    local: dict[str, Any] = {"principal": {"S": "key:local"}, "item": {"S": "grant"}}
    limited = {**local, "collections": {"SS": ["b"]}}
    with aws_stand_in(tmp_path) as first:
        gateway = first.client("apigateway")
        created = gateway.create_api_key(name="k", enabled=True, generateDistinctId=True)
        off = gateway.create_api_key(name="off", enabled=False)
        gateway.delete_api_key(apiKey="local")
        assert first.dynamodb.get_item(TableName="docwell-principals", Key=local)["Item"]["all"] == {"BOOL": True}
        first.dynamodb.put_item(TableName="docwell-receipts", Item=receipt)
        first.dynamodb.put_item(TableName="docwell-principals", Item=limited)
        wait_until_written(tmp_path, '"SS": ["b"]', '"request_id"')
        first.child.kill()
    with aws_stand_in(tmp_path) as second:
        key = {name: receipt[name] for name in ("principal", "request_id")}
        stored = second.dynamodb.get_item(TableName="docwell-receipts", Key=key)["Item"]
        assert stored["body"]["B"] == receipt["body"]["B"]
        assert second.dynamodb.get_item(TableName="docwell-principals", Key=local)["Item"] == limited
        keys = {key["id"]: key for key in second.client("apigateway").get_api_keys(includeValues=True)["items"]}
        assert keys[created["id"]]["value"] == created["value"]
        enabled = {id_: key["enabled"] for id_, key in keys.items()}
        assert enabled == {"local": True, created["id"]: True, off["id"]: False}
        assert keys["local"]["value"] == KEYS["DOCWELL_API_KEY"]
        result = DynamoApiKeys(second.dynamodb, "docwell-principals").find(digest_of(KEYS["DOCWELL_API_KEY"]))
        assert result is not None
        assert (result.principal, result.ends_at) == ("key:local", None)


@pytest.mark.parametrize(("key", "secret"), [("mine", "guessed"), ("guessed", "secret")])
@pytest.mark.parametrize("service", ["s3", "sqs", "dynamodb", "apigateway"])
def test_other_credentials_are_refused(aws: Aws, service: str, key: str, secret: str) -> None:
    client: Any = boto3.Session(key, secret, region_name="us-east-1")
    client = client.client(service, endpoint_url=aws.endpoint, config=Config(retries={"total_max_attempts": 1}))
    call = {"s3": "list_buckets", "sqs": "list_queues", "dynamodb": "list_tables", "apigateway": "get_api_keys"}
    with pytest.raises(ClientError, match="not signed with the keys"):
        getattr(client, call[service])()


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


class Bucket:
    """The documents bucket, by forms and links that lead through the gateway."""

    base = f"http://127.0.0.1{STORAGE_PATH}"

    def __init__(self, aws: Aws, http: TestClient) -> None:
        self.s3, self.http = aws.client("s3", signature_version="s3v4"), http

    def send(
        self, body: bytes, changed: dict[str, str] | None = None, seconds: int = 60, size: int | None = None
    ) -> int:
        """Upload by a form for a file of `size`, with changed fields; return the status."""
        form = S3DocumentLinks(self.s3, BUCKET, seconds, self.base).form(
            "forms/a b+é.pdf", size or len(body), "application/pdf"
        )
        fields = {**form.fields, **(changed or {})}
        return self.http.post(form.url, data=fields, files={"file": ("other.pdf", body)}).status_code


@pytest.fixture
def bucket(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    session = boto3.Session(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)  # links are signed with its keys
    app = Gateway(None, storage=Storage(aws.endpoint)).app  # type: ignore[arg-type] # no request needs the function
    with TestClient(app, base_url="http://127.0.0.1") as http:
        yield Bucket(aws, http)


def test_a_form_stores_its_file_and_a_link_reads_it_by_ranges_until_it_expires(bucket: Bucket) -> None:
    body, key = b"%PDF-1.7 a small file", "forms/a b+é.pdf"
    assert (bucket.send(body[::-1]), bucket.send(body)) == (200, 200)
    stored = bucket.s3.head_object(Bucket=BUCKET, Key=key)
    assert stored["ContentType"] == "application/pdf"
    unit = CitationUnit(UnitKind.PAGE, "3", "page=3")
    link = S3DocumentLinks(bucket.s3, BUCKET, 60, bucket.base).link(key, stored["VersionId"], unit)
    document, part = bucket.http.get(link), bucket.http.get(link, headers={"range": "bytes=1-3"})
    assert document.content == body
    assert document.headers["content-security-policy"].startswith("sandbox")
    assert (part.status_code, part.content) == (206, body[1:4])
    assert part.headers["content-range"] == f"bytes 1-3/{len(body)}"
    assert bucket.http.get(link.replace("a%20b", "other")).status_code == 403
    old = S3DocumentLinks(bucket.s3, BUCKET, -5, bucket.base).link(key, stored["VersionId"], unit)
    assert bucket.http.get(old).status_code == 403


def test_a_form_stores_nothing_but_what_it_was_signed_for(bucket: Bucket) -> None:
    body = b"%PDF-1.7 another file"
    assert bucket.send(body, size=len(body) + 1) == bucket.send(body, seconds=-5) == 403
    changes = {"key": "attic/a.pdf", "Content-Type": "text/html", "acl": "public-read", "policy": "e30="}
    for name, value in (changes | {"x-amz-signature": "0" * 64}).items():
        assert bucket.send(body, {name: value}) == 403, name
    assert bucket.http.get(f"{STORAGE_PATH}/{BUCKET}/?list-type=2").status_code == 403
    assert "attic/a.pdf" not in str(bucket.s3.list_objects_v2(Bucket=BUCKET))


@pytest.mark.skipif(sys.platform != "linux", reason="another process has its limits set")
def test_a_full_disk_loses_nothing_that_was_accepted_and_refuses_the_rest(tmp_path: Path) -> None:
    def row(key: str, **more: Any) -> dict[str, Any]:
        return {"document": {"S": key}, "pipeline": {"S": "f"}, "collection": {"S": "default"}, **more}

    with aws_stand_in(tmp_path) as aws:
        aws.s3.put_object(Bucket=BUCKET, Key="a.pdf", Body=b"old")
        (process,) = psutil.Process(aws.child.pid).children()
        process.rlimit(psutil.RLIMIT_FSIZE, (50_000, psutil.RLIM_INFINITY))
        for key in ("a.pdf", "new.pdf"):
            with pytest.raises(ClientError) as refused:
                aws.s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(100_000))
            assert refused.value.response["Error"]["Code"] == "InsufficientStorage"
            assert "File too large" in str(refused.value)
        listed = aws.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
        assert [(entry["Key"], entry["Size"]) for entry in listed] == [("a.pdf", 3)]
        assert not list((tmp_path / "objects").glob("*.tmp"))
        aws.s3.put_object(Bucket=BUCKET, Key="small.pdf", Body=b"it fits")
        aws.dynamodb.put_item(TableName=TABLE, Item=row("a.pdf", title={"S": "x" * 60_000}))
        until(lambda: any("the disk does not take ledger.json" in line for line in aws.lines))
        assert not list(tmp_path.glob("*.tmp"))
        process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        wait_until_written(tmp_path, "a.pdf")
        aws.child.kill()
    with aws_stand_in(tmp_path) as again:
        listed = again.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
        assert [entry["Key"] for entry in listed] == ["a.pdf", "small.pdf"]
        (item,) = again.dynamodb.scan(TableName=TABLE)["Items"]
        assert len(item["title"]["S"]) == 60_000


@pytest.mark.parametrize("damage", ["", "[{", "\0" * 40])
@pytest.mark.parametrize("name", ["ledger", "api_keys"])
def test_a_damaged_table_is_named(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / f"{name}.json"
    path.write_text(damage)
    mirror = ApiKeyMirror(path, {}, "key") if name == "api_keys" else TableMirror(path, Mock(schema=[]))
    with pytest.raises(OSError, match=f"{name}.json is damaged"):
        mirror.restore()


def test_a_damaged_document_is_named_and_kept_and_the_others_are_restored(tmp_path: Path) -> None:
    with aws_stand_in(tmp_path) as first:
        for key in ("a.pdf", "b.pdf"):
            first.s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
        first.child.kill()
    damaged, _ = sorted((tmp_path / "objects").glob("*.json"), key=lambda path: "b.pdf" in path.read_text())
    damaged.write_text("")
    with aws_stand_in(tmp_path) as second:
        assert [entry["Key"] for entry in second.s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["b.pdf"]
        assert any(line.startswith(f"WARNING {damaged} is damaged") for line in second.lines)
        (content,) = (tmp_path / "objects").glob(f"{damaged.stem}.*.bin")
        assert content.read_bytes() == b"a.pdf"
        second.s3.put_object(Bucket=BUCKET, Key="a.pdf", Body=b"again")
    with aws_stand_in(tmp_path) as third:
        assert third.s3.get_object(Bucket=BUCKET, Key="a.pdf")["Body"].read() == b"again"
        assert not content.exists()
