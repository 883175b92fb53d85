"""Upload forms on the local AWS server, directly and through the gateway's address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from docwell.adapters.aws import client
from docwell.adapters.s3 import S3DocumentLinks, S3DocumentWriter
from docwell.citation_units import CitationUnit, UnitKind
from infra.local.aws_access import CheckedAccess, StackKeys
from infra.local.gateway import Gateway
from infra.local.names import BUCKET, STORAGE_PATH
from infra.local.storage import Storage

pytestmark = pytest.mark.integration
KEYS = StackKeys("DOCWELLTEST", "secret", "api", "stack")
BODY = b"%PDF-1.7 a small file"
KEY = "house/a b+é.pdf"


class Bucket:
    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.s3: Any = client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def form(self, size: int = len(BODY), seconds: int = 60) -> dict[str, str]:
        return dict(S3DocumentWriter(self.s3, BUCKET, seconds).form(KEY, size, "application/pdf").fields)

    def send(self, fields: dict[str, str], body: bytes = BODY, to: str | None = None) -> int:
        url = to or f"{self.endpoint}/{BUCKET}"
        return httpx.post(url, data=fields, files={"file": ("other.pdf", body)}, trust_env=False).status_code

    def keys(self) -> list[str]:
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    moto = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, CheckedAccess(moto, KEYS), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it would keep the credentials of an earlier test
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)
    bucket = Bucket(endpoint)
    yield bucket
    for one in bucket.s3.list_object_versions(Bucket=BUCKET).get("Versions", ()):
        bucket.s3.delete_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])
    bucket.s3.delete_bucket(Bucket=BUCKET)
    server.shutdown()


def test_a_form_stores_its_file_under_its_key(bucket: Bucket) -> None:
    assert bucket.send(bucket.form()) == 200
    stored = bucket.s3.get_object(Bucket=BUCKET, Key=KEY)
    assert (stored["Body"].read(), stored["ContentType"]) == (BODY, "application/pdf")
    assert bucket.send(bucket.form(), BODY[::-1]) == 200
    assert bucket.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == BODY[::-1]


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "attic/a.pdf"},
        {"Content-Type": "text/html"},
        {"acl": "public-read"},
        {"x-amz-meta-owner": "me"},
        {"policy": "e30="},
        {"x-amz-signature": "0" * 64},
        {"x-amz-credential": "OTHER/20260101/us-east-1/s3/aws4_request"},
        {"x-amz-date": "20200101T000000Z"},
    ],
)
def test_a_form_with_a_changed_field_stores_nothing(bucket: Bucket, changed: dict[str, str]) -> None:
    assert bucket.send(bucket.form() | changed) == 403
    assert bucket.keys() == []


def test_a_file_of_another_size_an_old_form_and_no_form_store_nothing(bucket: Bucket) -> None:
    assert bucket.send(bucket.form(), BODY + b"!") == 403
    assert bucket.send(bucket.form(), BODY[:-1]) == 403
    assert bucket.send(bucket.form(seconds=-5)) == 403
    assert bucket.send({}) == 403
    assert bucket.send(bucket.form(), to=f"{bucket.endpoint}/another-bucket") == 403
    assert bucket.keys() == []


def through_gateway(endpoint: str) -> Any:
    """Return a client of a gateway that forwards to the AWS server; it has no function."""
    from starlette.testclient import TestClient

    app = Gateway(None, storage=Storage(endpoint)).app  # type: ignore[arg-type] # no request needs the function
    return TestClient(app, base_url="http://127.0.0.1")


def test_the_gateway_forwards_a_form_and_a_link_with_ranges(bucket: Bucket) -> None:
    base = f"http://127.0.0.1{STORAGE_PATH}"
    form = S3DocumentWriter(bucket.s3, BUCKET, 60, base).form(KEY, len(BODY), "application/pdf")
    assert form.url == f"{base}/{BUCKET}"
    with through_gateway(bucket.endpoint) as http:
        assert http.post(form.url, data=form.fields, files={"file": ("a.pdf", BODY)}).status_code == 200
        version = bucket.s3.head_object(Bucket=BUCKET, Key=KEY)["VersionId"]
        link = S3DocumentLinks(bucket.s3, BUCKET, 60, base).link(
            KEY, version, CitationUnit(UnitKind.PAGE, "3", "page=3")
        )
        assert link.startswith(f"{base}/{BUCKET}/house/")
        assert link.endswith("#page=3")
        whole, part = http.get(link), http.get(link, headers={"range": "bytes=1-3"})
    assert whole.content == BODY
    assert whole.headers["content-security-policy"].startswith("sandbox")
    assert (part.status_code, part.content) == (206, BODY[1:4])
    assert part.headers["content-range"] == f"bytes 1-3/{len(BODY)}"


def test_the_gateway_forwards_nothing_unsigned(bucket: Bucket) -> None:
    bucket.s3.put_object(Bucket=BUCKET, Key="a.pdf", Body=BODY)
    with through_gateway(bucket.endpoint) as http:
        assert http.get(f"{STORAGE_PATH}/{BUCKET}/a.pdf").status_code == 403
        assert http.get(f"{STORAGE_PATH}/{BUCKET}/?list-type=2").status_code == 403


def test_a_form_for_aws_is_for_the_buckets_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    form = S3DocumentWriter(client("s3"), "documents", 60).form(KEY, 1, "application/pdf")
    assert form.url == "https://documents.s3.eu-central-1.amazonaws.com/"
    assert "/eu-central-1/s3/aws4_request" in form.fields["x-amz-credential"]
