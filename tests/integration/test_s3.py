"""The bucket (moto, in process)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.s3 import S3ObjectStore
from docwell.errors import NotFound, Unavailable

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


@pytest.mark.parametrize("key", KEYS)
def test_what_was_put_is_what_is_read(bucket: Any, key: str, tmp_path: Path) -> None:
    bucket.put_object(Key=key, Body=b"content")
    store = S3ObjectStore(client("s3"), "documents")
    head = store.head(key)
    assert head is not None
    assert head.size == 7
    store.download(key, head, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_new_content_is_a_new_version_and_a_deleted_key_has_none(bucket: Any) -> None:
    store = S3ObjectStore(client("s3"), "documents")
    assert store.head("a") is None
    bucket.put_object(Key="a", Body=b"1")
    first = store.head("a")
    bucket.put_object(Key="a", Body=b"2")
    second = store.head("a")
    assert first is not None
    assert second is not None
    assert first.version != second.version
    bucket.Object("a").delete()
    assert store.head("a") is None


def test_a_version_that_is_gone_is_told_as_such(bucket: Any, tmp_path: Path) -> None:
    store = S3ObjectStore(client("s3"), "documents")
    bucket.put_object(Key="a", Body=b"1")
    head = store.head("a")
    assert head is not None
    bucket.object_versions.filter(Prefix="a").delete()
    with pytest.raises(NotFound):
        store.download("a", head, tmp_path / "file")


def test_an_overwritten_object_never_gives_the_new_bytes_under_the_old_version(
    bucket: Any, tmp_path: Path
) -> None:
    store = S3ObjectStore(client("s3"), "documents")
    bucket.put_object(Key="a", Body=b"old")
    head = store.head("a")
    assert head is not None
    bucket.put_object(Key="a", Body=b"new")
    try:
        store.download("a", head, tmp_path / "file")
    except NotFound:
        return
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_store_that_cannot_be_reached_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # the discard port: nobody listens
    with pytest.raises(Unavailable, match="s3 does not answer"):
        S3ObjectStore(client("s3"), "documents").head("a")


def test_a_listing_goes_on_after_a_key_and_ends(bucket: Any) -> None:
    for key in ("b/é", "a", "b/x y"):
        bucket.put_object(Key=key, Body=b"1234")
    store = S3ObjectStore(client("s3"), "documents")
    first = store.list(None, 2)
    rest = store.list(first[-1].key, 2)
    assert [row.key for row in [*first, *rest]] == ["a", "b/x y", "b/é"]
    head = store.head("a")
    assert head is not None
    assert (first[0].etag, first[0].size) == (head.etag, 4)
    assert store.list("b/é", 2) == []
