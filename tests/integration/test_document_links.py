"""Links to a page of a PDF, followed on moto's server like a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from docwell.adapters.aws import client
from docwell.adapters.s3 import S3DocumentLinks, S3ObjectStore
from docwell.errors import NotFound, Unavailable
from docwell.media_types import MEDIA_TYPES, UNKNOWN
from docwell.models import FIRST_PAGE, CitationUnit, UnitKind
from tests.unit.cases import rows

pytestmark = pytest.mark.integration
KEYS = ["a.pdf", "a+b%&c d/é日本 #1?.pdf", "x" * 1024]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture(params=["versioned", "plain"])
def bucket(request: pytest.FixtureRequest, server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    bucket = boto3.resource("s3").create_bucket(Bucket=f"documents-{request.param}")
    if request.param == "versioned":
        bucket.Versioning().enable()
    return bucket


def page(number: int) -> CitationUnit:
    return CitationUnit(UnitKind.PAGE, str(number), f"page={number}")


def test_a_link_names_the_kind_of_file_and_shows_only_what_cannot_run(bucket: Any) -> None:
    bucket.put_object(Key="a", Body=b"<script>alert(1)</script>", ContentType="text/html")
    links = S3DocumentLinks(client("s3"), bucket.name, 300)
    for media_type in sorted({*MEDIA_TYPES.values(), "image/svg+xml", UNKNOWN}):
        link = links.link("a", "null", FIRST_PAGE, media_type)
        answer = httpx.get(link)
        shown = media_type in {"application/pdf", "image/png", "image/jpeg"}
        assert answer.headers["content-type"] == media_type
        assert answer.headers["content-disposition"] == ("inline" if shown else "attachment")
        assert link.endswith("#page=1") == (media_type == "application/pdf")


@pytest.mark.parametrize("key", KEYS)
def test_a_link_opens_the_version_that_was_cited(bucket: Any, key: str) -> None:
    # The content type of the upload is ignored.
    bucket.put_object(Key=key, Body=b"%PDF-1.7 content", ContentType="text/html")
    head = S3ObjectStore(client("s3"), bucket.name).head(key)
    assert head is not None
    link = S3DocumentLinks(client("s3"), bucket.name, 300).link(key, head.version, page(9))
    assert link.endswith("#page=9")
    if bucket.name == "documents-versioned":
        bucket.put_object(Key=key, Body=b"a later version")
    answer = httpx.get(link)
    assert answer.content == b"%PDF-1.7 content"
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == "inline"


@pytest.mark.parametrize(("version", "expected"), rows(__file__, "link_versions"))
def test_a_link_is_as_boto3_signs_it_and_only_a_version_id_goes_into_it(version: str, expected: bool) -> None:
    s3, request = client("s3"), {"Bucket": "documents", "Key": KEYS[1], "ResponseContentType": "application/pdf"}
    request |= {"ResponseContentDisposition": "inline"} | ({"VersionId": version} if expected else {})
    before = s3.generate_presigned_url("get_object", Params=request, ExpiresIn=300)
    link = S3DocumentLinks(s3, "documents", 300).link(KEYS[1], version, page(1))
    after = s3.generate_presigned_url("get_object", Params=request, ExpiresIn=300)  # a second may have ended
    assert link in {f"{before}#page=1", f"{after}#page=1"}


def test_a_document_that_was_replaced_meanwhile_is_not_deleted(bucket: Any) -> None:
    links = S3DocumentLinks(client("s3"), bucket.name, 300)
    bucket.put_object(Key="a", Body=b"1")
    etag, _ = links.current("a")
    bucket.put_object(Key="a", Body=b"2")
    with pytest.raises(NotFound, match="changed"):
        links.delete("a", etag)
    links.delete("a", links.current("a")[0])
    with pytest.raises(NotFound, match="gone"):
        links.current("a")


def test_without_credentials_there_is_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    links = S3DocumentLinks(client("s3"), "documents", 300)
    with pytest.raises(Unavailable, match="s3"):
        links.link("a", "v", page(1))


def test_a_link_to_a_pdf_that_is_attached_to_a_message_opens_the_message() -> None:
    links = S3DocumentLinks(client("s3"), "documents", 300)
    link = links.link("a.eml", "v", CitationUnit(UnitKind.PART, "attachment a.pdf, page 1", "part=2"))
    assert parse_qs(urlsplit(link).query)["response-content-type"] == ["application/octet-stream"]
