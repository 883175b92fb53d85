"""The bucket (moto, in process)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.s3 import S3ObjectStore
from docwell.errors import NotFound, ObjectDenied, Unavailable
from docwell.models import ObjectVersion
from tests.unit.cases import rows

pytestmark = pytest.mark.integration
KEYS = ["a+b%&c d/é日本.pdf", "//a/..//b.pdf", "x" * 1024]


@pytest.fixture(params=["versioned", "plain"])
def bucket(request: pytest.FixtureRequest) -> Iterator[Any]:
    with mock_aws():
        s3 = boto3.resource("s3")
        bucket = s3.create_bucket(Bucket="documents")
        if request.param == "versioned":
            bucket.Versioning().enable()
        yield bucket


@pytest.fixture
def store(bucket: Any) -> S3ObjectStore:
    return S3ObjectStore(client("s3"), "documents")


def head_of(store: S3ObjectStore, key: str = "a") -> ObjectVersion:
    head = store.head(key)
    assert head is not None
    return head


def refuse(s3: Any, call: str, code: str) -> None:
    def fail(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code}}, call)

    s3.meta.events.register(f"before-call.s3.{call}", fail)


@pytest.mark.parametrize("key", KEYS)
def test_an_object_is_read_as_it_was_put(bucket: Any, store: S3ObjectStore, key: str, tmp_path: Path) -> None:
    bucket.put_object(Key=key, Body=b"content")
    head = head_of(store, key)
    assert head.size == 7
    store.download(key, head, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_new_content_is_a_new_version_and_a_deleted_key_has_none(bucket: Any, store: S3ObjectStore) -> None:
    assert store.head("a") is None
    versions = set()
    for body in (b"1", b"2"):
        bucket.put_object(Key="a", Body=body)
        versions.add(head_of(store).version)
    assert len(versions) == 2
    bucket.Object("a").delete()
    assert store.head("a") is None


def test_a_version_that_is_gone_is_not_found(bucket: Any, store: S3ObjectStore, tmp_path: Path) -> None:
    bucket.put_object(Key="a", Body=b"1", Tagging="stage=draft")
    head = head_of(store)
    bucket.object_versions.filter(Prefix="a").delete()
    with pytest.raises(NotFound):
        store.download("a", head, tmp_path / "file")
    with pytest.raises(NotFound):
        store.tags("a", head)


def test_an_overwritten_object_never_gives_the_new_bytes_under_the_old_version(
    bucket: Any, store: S3ObjectStore, tmp_path: Path
) -> None:
    bucket.put_object(Key="a", Body=b"old")
    head = head_of(store)
    bucket.put_object(Key="a", Body=b"new")
    try:
        store.download("a", head, tmp_path / "file")
    except NotFound:
        return
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_store_that_cannot_be_reached_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # the discard port: no server listens
    with pytest.raises(Unavailable, match="s3 does not answer"):
        S3ObjectStore(client("s3"), "documents").head("a")


@pytest.mark.parametrize("pages_of", [0, 1, 1000])  # S3 may end a page early, and other stores send empty pages
def test_a_listing_ends_only_where_the_bucket_does(bucket: Any, pages_of: int) -> None:
    for key in ("b/é", "a", "b/x y"):
        bucket.put_object(Key=key, Body=b"1234")
    s3, empty = client("s3"), [True] if pages_of == 0 else []

    def ask(params: dict[str, Any], **_: object) -> None:
        params.pop("ContinuationToken", None)
        params["MaxKeys"] = pages_of or 1000

    def send(parsed: dict[str, Any], **_: object) -> None:
        if empty and empty.pop():
            parsed.update(Contents=[], IsTruncated=True, NextContinuationToken="next")

    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", ask)
    s3.meta.events.register("after-call.s3.ListObjectsV2", send)
    store = S3ObjectStore(s3, "documents")
    rows, last = store.page("")
    assert (rows[0].etag, rows[0].size) == (head_of(store).etag, 4)
    while last is not None:
        page, last = store.page(last)
        rows += page
    assert [row.key for row in rows] == ["a", "b/x y", "b/é"]
    assert store.page("b/é") == ([], None)


def test_metadata_and_tags_are_those_of_the_version(bucket: Any, store: S3ObjectStore) -> None:
    bucket.put_object(Key=KEYS[0], Body=b"1", Metadata={"Team": "heat"}, Tagging="stage=draft&year=2026")
    head = head_of(store, KEYS[0])
    assert (head.metadata, head.tag_count) == ({"team": "heat"}, 2)
    assert store.tags(KEYS[0], head) == {"stage": "draft", "year": "2026"}
    bucket.put_object(Key=KEYS[0], Body=b"2")
    newer = head_of(store, KEYS[0])
    assert (newer.metadata, newer.tag_count, store.tags(KEYS[0], newer)) == ({}, 0, {})
    if not head.version.startswith('"'):  # without versioning the old one is gone
        assert store.tags(KEYS[0], head) == {"stage": "draft", "year": "2026"}


@pytest.mark.parametrize(("sent", "read"), rows(__file__, "metadata"))
def test_non_ascii_metadata_is_decoded_and_metadata_over_the_limit_left_out(
    bucket: Any, store: S3ObjectStore, sent: str, read: str
) -> None:
    bucket.put_object(Key="a", Body=b"1", Metadata={"b": sent, "c": "x" * 1900, "d": "y" * 200})
    assert head_of(store).metadata == {"b": read, "c": "x" * 1900}


@pytest.mark.parametrize("code", ["AccessDenied", "NotImplemented"])
def test_forbidden_tags_are_none_and_warn_once(bucket: Any, code: str, caplog: pytest.LogCaptureFixture) -> None:
    bucket.put_object(Key="a", Body=b"1", Tagging="stage=draft")
    s3 = client("s3")
    refuse(s3, "GetObjectTagging", code)
    store = S3ObjectStore(s3, "documents")
    head = head_of(store)
    assert store.tags("a", head) == store.tags("a", head) == {}
    assert [record.message for record in caplog.records] == ["object tags cannot be read: no document has any"]


@pytest.mark.parametrize(("code", "denied"), [("400", True), ("403", True), ("503", False), ("301", False)])
def test_only_an_object_that_is_refused_is_denied(bucket: Any, code: str, *, denied: bool) -> None:
    s3 = client("s3")
    refuse(s3, "HeadObject", code)
    with pytest.raises(Unavailable, match=code) as raised:
        S3ObjectStore(s3, "documents").head("a")
    assert isinstance(raised.value, ObjectDenied) is denied
