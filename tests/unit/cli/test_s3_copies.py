"""Copies of large objects in parts, and listings with archived ones (moto)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from docwell.adapters import s3
from docwell.adapters.s3 import S3Copier
from docwell.bucket_ports import StoredObject
from docwell.errors import NotFound, Unavailable
from tests.unit.cli.fake_api import BUCKET
from tests.unit.cli.load_archive import (
    SOURCE,
    answering,
    archive,
    put,
    queue,
    quick,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["archive", "queue", "quick"]


def test_a_large_object_is_copied_in_parts_and_a_failed_copy_leaves_none(
    archive: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 5 * 1024 * 1024  # the least that S3 takes
    monkeypatch.setattr(s3, "_IN_PARTS_FROM", part)
    monkeypatch.setattr(s3, "_PART", part)
    body = os.urandom(part + 3)
    put(archive, "large.pdf", body, Metadata={"team": "ops"}, Tagging="a=b%2Bc", ContentType="application/pdf")
    one = StoredObject("large.pdf", archive.head_object(Bucket=SOURCE, Key="large.pdf")["ETag"], len(body))
    S3Copier(archive, SOURCE, BUCKET).copy(one, "large.pdf")
    copy = archive.get_object(Bucket=BUCKET, Key="large.pdf")
    assert copy["Body"].read() == body
    assert copy["ETag"].endswith('-2"')
    assert (copy["Metadata"], copy["ContentType"]) == ({"team": "ops"}, "application/pdf")
    assert archive.get_object_tagging(Bucket=BUCKET, Key="large.pdf")["TagSet"] == [{"Key": "a", "Value": "b+c"}]
    failing = boto3.client("s3")
    answering(failing, "UploadPartCopy", 500, "InternalError")
    with pytest.raises(Unavailable):
        S3Copier(failing, SOURCE, BUCKET).copy(one, "again.pdf")
    assert "Uploads" not in archive.list_multipart_uploads(Bucket=BUCKET)
    changed = boto3.client("s3")
    answering(changed, "UploadPartCopy", 412, "PreconditionFailed")
    answering(changed, "AbortMultipartUpload", 403, "AccessDenied")
    with pytest.raises(NotFound):
        S3Copier(changed, SOURCE, BUCKET).copy(one, "again.pdf")


@pytest.mark.parametrize(
    ("status", "archived"),
    [
        ("", True),
        ("<IsRestoreInProgress>true</IsRestoreInProgress>", True),
        ("<RestoreExpiryDate>2026-12-21T00:00:00Z</RestoreExpiryDate>", False),
    ],
    ids=["archived", "in progress", "restored"],
)
def test_only_an_archived_object_that_is_restored_can_be_copied(
    bucket: S3Client, status: str, archived: bool
) -> None:
    restored = f"<RestoreStatus>{status}</RestoreStatus>" if status else ""
    row = f"<Key>a.pdf</Key><ETag>e</ETag><Size>1</Size><StorageClass>GLACIER</StorageClass>{restored}"
    listed = f"<LastModified>2026-01-01T00:00:00Z</LastModified>{row}"
    body = f"<Result><IsTruncated>false</IsTruncated><Contents>{listed}</Contents></Result>"
    asked: list[str] = []

    def list_objects(request: Any, **_: object) -> AWSResponse:
        asked.append(request.headers["x-amz-optional-object-attributes"])
        raw = type("Raw", (), {"stream": lambda _: [body.encode()]})()
        return AWSResponse(request.url, 200, HTTPHeaders(), raw)

    client: Any = bucket
    client.meta.events.register_first("before-send.s3.ListObjectsV2", list_objects)
    rows, _ = s3.S3Listing(bucket, SOURCE).page("")
    assert [one.archived for one in rows] == [archived]
    assert asked in (["RestoreStatus"], [b"RestoreStatus"])
