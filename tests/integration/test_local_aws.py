from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import unquote_plus, urlsplit

import boto3
import httpx
import psutil
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from docwell.access.credentials import digest_of
from docwell.adapters.dynamodb.principals import DynamoApiKeys
from docwell.adapters.s3 import S3Versions
from infra.local.aws_tables import ApiKeyMirror, TableMirror
from infra.local.names import RESTORE_PRINCIPAL

from .local_parts import KEYS, Aws, aws_stand_in
from .waiting import until

pytestmark = pytest.mark.integration

BUCKET = "docwell-documents"
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


def test_putting_and_deleting_an_object_each_send_a_notification(aws: Aws) -> None:
    aws.receive_all()
    aws.s3.put_object(Bucket=BUCKET, Key=AWKWARD, Body=b"one")
    assert events(aws.receive_all()) == [("ObjectCreated:Put", AWKWARD)]
    aws.s3.delete_object(Bucket=BUCKET, Key=AWKWARD)
    assert events(aws.receive_all()) == [("ObjectRemoved:DeleteMarkerCreated", AWKWARD)]


def test_deleting_the_newest_version_by_its_id_sends_a_notification(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="v.pdf", Body=b"old")
    newest = aws.s3.put_object(Bucket=BUCKET, Key="v.pdf", Body=b"new")["VersionId"]
    aws.receive_all()
    aws.s3.delete_object(Bucket=BUCKET, Key="v.pdf", VersionId=newest)
    assert events(aws.receive_all()) == [("ObjectRemoved:Delete", "v.pdf")]
    assert aws.s3.get_object(Bucket=BUCKET, Key="v.pdf")["Body"].read() == b"old"


def test_all_versions_and_markers_of_several_keys_can_be_deleted_at_once(aws: Aws) -> None:
    versions = S3Versions(aws.s3, BUCKET)
    for number in range(8):  # more than boto3 tries
        aws.s3.put_object(Bucket=BUCKET, Key=f"erased/{number}.pdf", Body=b"old")
    versions.erase(versions.under("erased/"))
    assert versions.under("erased/") == []


def test_an_older_version_can_still_be_read_after_its_key_was_replaced(aws: Aws) -> None:
    old = aws.s3.put_object(Bucket=BUCKET, Key="r.pdf", Body=b"old")["VersionId"]
    aws.s3.put_object(Bucket=BUCKET, Key="r.pdf", Body=b"new")
    assert aws.s3.get_object(Bucket=BUCKET, Key="r.pdf", VersionId=old)["Body"].read() == b"old"


def test_the_aws_command_line_uploads_in_parts_and_gets_the_same_bytes_back(aws: Aws, tmp_path: Path) -> None:
    source, copy = tmp_path / "a.pdf", tmp_path / "b.pdf"
    source.write_bytes(bytes(range(256)) * 80_000)  # 20 MB: three parts
    command = [str(Path(sys.executable).with_name("aws")), "--endpoint-url", aws.endpoint, "s3", "cp"]
    environment = {
        **KEYS,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for pair in ([str(source), f"s3://{BUCKET}/big.pdf"], [f"s3://{BUCKET}/big.pdf", str(copy)]):
        subprocess.run([*command, *pair], env=environment, check=True, capture_output=True)
    assert copy.read_bytes() == source.read_bytes()


def test_the_ledger_can_be_read_by_collection(aws: Aws) -> None:
    for name in ("b.pdf", "a.pdf"):
        aws.dynamodb.put_item(
            TableName=TABLE, Item={"document": {"S": name}, "pipeline": {"S": "f"}, "collection": {"S": "c"}}
        )
    found = aws.dynamodb.query(
        TableName=TABLE,
        IndexName="by_collection",
        KeyConditionExpression="collection = :c",
        ExpressionAttributeValues={":c": {"S": "c"}},
    )["Items"]
    assert [item["document"]["S"] for item in found] == ["a.pdf", "b.pdf"]


def wait_until_written(folder: Path, *texts: str) -> None:
    """Wait until the tables are on disk, about half a second after a change."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        tables = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.json"))
        if all(text in tables or json.dumps(text)[1:-1] in tables for text in texts):
            return
        time.sleep(0.1)
    raise AssertionError(f"not written: {texts}")


def test_objects_and_ledger_survive_a_kill_and_are_announced_again(tmp_path: Path) -> None:
    with aws_stand_in(tmp_path) as first:
        first.s3.put_object(Bucket=BUCKET, Key="replaced.pdf", Body=b"old")
        first.s3.put_object(Bucket=BUCKET, Key="deleted.pdf", Body=b"gone")
        kept = first.s3.put_object(
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
        assert (head["VersionId"], head["ETag"]) == (kept["VersionId"], kept["ETag"])
        assert (head["ContentType"], head["Metadata"]) == ("application/pdf", {"who": "me"})
        assert second.s3.get_object(Bucket=BUCKET, Key=AWKWARD)["Body"].read() == b"kept"
        listed = second.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
        assert [one["Key"] for one in listed] == sorted([AWKWARD, "replaced.pdf"])
        newest = second.s3.get_object(Bucket=BUCKET, Key="replaced.pdf")
        assert (newest["VersionId"], newest["Body"].read()) == (replaced["VersionId"], b"new")
        item = second.dynamodb.get_item(TableName=TABLE, Key={"document": {"S": AWKWARD}, "pipeline": {"S": "f"}})[
            "Item"
        ]
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

    with aws_stand_in(tmp_path) as first:
        for key in (AWKWARD, "untagged.pdf", "retagged.pdf"):
            first.s3.put_object(Bucket=BUCKET, Key=key, Body=b"1", Tagging="stage=draft")
        first.receive_all()
        tag(first, "retagged.pdf", "final")
        assert events(first.receive_all()) == [("ObjectTagging:Put", "retagged.pdf")]
        first.s3.delete_object_tagging(Bucket=BUCKET, Key="untagged.pdf")
        assert events(first.receive_all()) == [("ObjectTagging:Delete", "untagged.pdf")]
        first.child.kill()
    with aws_stand_in(tmp_path) as second:
        assert [stage(second, key) for key in (AWKWARD, "untagged.pdf", "retagged.pdf")] == [
            ["draft"],
            [],
            ["final"],
        ]


def test_principals_receipts_and_api_keys_survive_a_kill_and_the_local_key_is_always_there(tmp_path: Path) -> None:
    rows: dict[str, dict[str, Any]] = {
        "docwell-principals": {"principal": {"S": "key:k"}, "item": {"S": "grant"}, "collections": {"SS": ["a"]}},
        "docwell-receipts": {"principal": {"S": "key:k"}, "request_id": {"S": "r"}, "expires_at": {"N": "9"}},
    }
    local: dict[str, Any] = {"principal": {"S": "key:local"}, "item": {"S": "grant"}}
    with aws_stand_in(tmp_path) as first:
        gateway = first.client("apigateway")
        made = gateway.create_api_key(name="k", enabled=True, generateDistinctId=True)
        off = gateway.create_api_key(name="off", enabled=False)
        gateway.delete_api_key(apiKey="local")
        assert first.dynamodb.get_item(TableName="docwell-principals", Key=local)["Item"]["all"] == {"BOOL": True}
        for table, row in rows.items():
            first.dynamodb.put_item(TableName=table, Item=row)
        limited = {**local, "collections": {"SS": ["b"]}}
        first.dynamodb.put_item(TableName="docwell-principals", Item=limited)
        wait_until_written(tmp_path, '"SS": ["b"]', '"request_id"')
        first.child.kill()
    with aws_stand_in(tmp_path) as second:
        for table, row in rows.items():
            names = ("principal", "item" if "item" in row else "request_id")
            key = {name: row[name] for name in names}
            assert second.dynamodb.get_item(TableName=table, Key=key)["Item"] == row
        assert second.dynamodb.get_item(TableName="docwell-principals", Key=local)["Item"] == limited
        keys = {key["id"]: key for key in second.client("apigateway").get_api_keys(includeValues=True)["items"]}
        assert keys[made["id"]]["value"] == made["value"]
        assert {id_: key["enabled"] for id_, key in keys.items()} == {
            "local": True,
            made["id"]: True,
            off["id"]: False,
        }
        assert keys["local"]["value"] == KEYS["DOCWELL_API_KEY"]
        stored = DynamoApiKeys(second.dynamodb, "docwell-principals").find(digest_of(KEYS["DOCWELL_API_KEY"]))
        assert stored is not None
        assert (stored.principal, stored.ends_at) == ("key:local", None)


def signed(method: str, url: str, service: str, **headers: str) -> httpx.Response:
    """Send a request that is signed with the stack's keys."""
    request = AWSRequest(method, url, headers, b"")
    auth = S3SigV4Auth if service == "s3" else SigV4Auth
    auth(Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"]), service, "us-east-1").add_auth(
        request
    )
    return httpx.request(method, url, headers=dict(request.headers), trust_env=False)


@pytest.mark.parametrize(("key", "secret"), [("docwell", "docwell"), ("mine", "guessed"), ("guessed", "secret")])
@pytest.mark.parametrize("service", ["s3", "sqs", "dynamodb", "apigateway"])
def test_other_credentials_are_refused(aws: Aws, service: str, key: str, secret: str) -> None:
    client: Any = boto3.Session(key, secret, region_name="us-east-1")
    client = client.client(service, endpoint_url=aws.endpoint, config=Config(retries={"total_max_attempts": 1}))
    call = {"s3": "list_buckets", "sqs": "list_queues", "dynamodb": "list_tables", "apigateway": "get_api_keys"}
    with pytest.raises(ClientError, match="not signed with the keys"):
        getattr(client, call[service])()


def test_requests_without_a_signature_are_refused(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="kept.pdf", Body=b"kept")
    for method, path in [
        ("GET", f"/{BUCKET}/kept.pdf"),
        ("PUT", f"/{BUCKET}/new.pdf"),
        ("DELETE", f"/{BUCKET}/kept.pdf"),
        ("POST", "/moto-api/reset"),
        ("GET", "/moto-api/data.json"),
        ("GET", "/latest/meta-data/iam/security-credentials/default-role"),
        ("OPTIONS", f"/{BUCKET}"),
    ]:
        answer = httpx.request(method, aws.endpoint + path, trust_env=False)
        assert answer.status_code == 403, path
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert aws.s3.get_object(Bucket=BUCKET, Key="kept.pdf")["Body"].read() == b"kept"


def test_moto_s_own_pages_and_other_services_are_refused_with_a_signature_too(aws: Aws) -> None:
    for method, path, service in [
        ("POST", "/moto-api/reset", "s3"),
        ("GET", "/2015-03-31/functions/", "lambda"),
        ("POST", "/", "iam"),
        ("POST", "/", "sts"),
    ]:
        assert signed(method, aws.endpoint + path, service).status_code == 403, path
    streams = {"X-Amz-Target": "DynamoDBStreams_20120810.ListStreams"}
    assert signed("POST", f"{aws.endpoint}/", "dynamodb", **streams).status_code == 403
    assert signed("GET", f"{aws.endpoint}/", "s3").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:4566"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example:4566"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
    ],
)
def test_a_web_page_is_refused_even_with_the_keys(aws: Aws, headers: dict[str, str]) -> None:
    answer = signed("GET", f"{aws.endpoint}/", "s3", **headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_no_answer_lets_a_page_of_another_origin_read_it(aws: Aws) -> None:
    answer = signed("GET", f"{aws.endpoint}/", "s3")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_link_opens_its_document_until_it_expires_and_no_other(aws: Aws) -> None:
    for key in (AWKWARD, "other.pdf"):
        aws.s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    wanted = {"Bucket": BUCKET, "Key": AWKWARD}
    signer = aws.client("s3", signature_version="s3v4")
    link = signer.generate_presigned_url("get_object", Params=wanted, ExpiresIn=600)
    assert httpx.get(link, trust_env=False).content == AWKWARD.encode()
    other = link.replace(urlsplit(link).path, f"/{BUCKET}/other.pdf")
    assert httpx.get(other, trust_env=False).status_code == 403
    expired = signer.generate_presigned_url("get_object", Params=wanted, ExpiresIn=-5)
    assert httpx.get(expired, trust_env=False).status_code == 403


def test_binary_content_survives_a_restart(tmp_path: Path) -> None:
    key = {"principal": {"S": "key:k"}, "request_id": {"S": "r"}}
    body = bytes(range(256))
    with aws_stand_in(tmp_path) as first:
        first.dynamodb.put_item(TableName="docwell-receipts", Item={**key, "body": {"B": body}})
        wait_until_written(tmp_path, '"request_id"')
        first.child.stop(5)
        assert not [line for line in first.lines if "Traceback" in line]
    with aws_stand_in(tmp_path) as second:
        assert second.dynamodb.get_item(TableName="docwell-receipts", Key=key)["Item"]["body"]["B"] == body


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
        assert [(one["Key"], one["Size"]) for one in listed] == [("a.pdf", 3)]
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
        assert [one["Key"] for one in listed] == ["a.pdf", "small.pdf"]
        (item,) = again.dynamodb.scan(TableName=TABLE)["Items"]
        assert len(item["title"]["S"]) == 60_000


@pytest.mark.parametrize("damage", ["", "[{", "\0" * 40])
@pytest.mark.parametrize("name", ["ledger", "principals", "usage", "receipts", "audit", "api_keys"])
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
        assert [one["Key"] for one in second.s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["b.pdf"]
        assert any(line.startswith(f"WARNING {damaged} is damaged") for line in second.lines)
        (content,) = (tmp_path / "objects").glob(f"{damaged.stem}.*.bin")
        assert content.read_bytes() == b"a.pdf"
        second.s3.put_object(Bucket=BUCKET, Key="a.pdf", Body=b"again")
    with aws_stand_in(tmp_path) as third:
        assert third.s3.get_object(Bucket=BUCKET, Key="a.pdf")["Body"].read() == b"again"
        assert not content.exists()
