"""`docwell restore` brings back what was deleted since a time, and then reconciles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from docwell.cli import operations
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT = ("--function", "reconcile")
SINCE = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()


class Reconcile:
    """A reconcile function that keeps the events it gets."""

    events: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, settings: object) -> None:
        self.settings = settings

    def repeat(self, event: dict[str, Any], *, until: str) -> dict[str, Any]:
        self.events.append(event)
        return {until: True, "pipelines": [], "found": [], "sent": 0}


@pytest.fixture
def reconciled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setattr(operations, "ReconcileFunction", Reconcile)
    monkeypatch.setattr(Reconcile, "events", [])
    return Reconcile.events


@pytest.fixture
def deleted(bucket: S3Client) -> S3Client:
    """A bucket whose documents were deleted, one of them twice, but for one that was uploaded again."""
    for key in ("a.pdf", "b.pdf", "other/c.pdf", "again.pdf"):
        bucket.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
        bucket.delete_object(Bucket=BUCKET, Key=key)
    bucket.delete_object(Bucket=BUCKET, Key="b.pdf")
    bucket.put_object(Bucket=BUCKET, Key="again.pdf", Body=b"new")
    return bucket


def content(bucket: S3Client) -> dict[str, bytes]:
    rows = bucket.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {row["Key"]: bucket.get_object(Bucket=BUCKET, Key=row["Key"])["Body"].read() for row in rows}


def test_everything_comes_back_and_a_newer_upload_stays(
    run: Run, deleted: S3Client, reconciled: list[dict[str, Any]]
) -> None:
    result = run("restore", "--since", SINCE, "--bucket", BUCKET, *CONNECT)
    assert result.exit_code == 0, result.output
    keys = ("a.pdf", "b.pdf", "other/c.pdf")
    assert content(deleted) == {**{key: key.encode() for key in keys}, "again.pdf": b"new"}
    assert "3 documents undeleted" in result.output
    assert reconciled == [{"action": "reconcile", "dry_run": False, "force": True}]


def test_a_prefix_limits_it_and_a_dry_run_changes_nothing(
    run: Run, deleted: S3Client, reconciled: list[dict[str, Any]]
) -> None:
    result = run("restore", "--since", SINCE, "--prefix", "other/", "--dry-run", "--bucket", BUCKET)
    assert "1 documents would be undeleted" in result.output
    assert (list(content(deleted)), reconciled) == (["again.pdf"], [])
    run("restore", "--since", SINCE, "--prefix", "other/", "--bucket", BUCKET, *CONNECT)
    assert list(content(deleted)) == ["again.pdf", "other/c.pdf"]


def test_deletions_before_the_time_stay(run: Run, deleted: S3Client, reconciled: list[dict[str, Any]]) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    result = run("restore", "--since", later, "--bucket", BUCKET, *CONNECT)
    assert "0 documents undeleted" in result.output
    assert list(content(deleted)) == ["again.pdf"]


def test_a_wrong_time_is_wrong_usage(run: Run, bucket: S3Client) -> None:
    assert run("restore", "--since", "yesterday", "--bucket", BUCKET, *CONNECT).exit_code == 2
