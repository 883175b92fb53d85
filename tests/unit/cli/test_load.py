"""`docwell load` copies documents of other buckets once, through any interruption (moto)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from docwell.adapters import bucket_copy
from docwell.adapters.s3 import S3Listing
from docwell.adapters.sqs import SqsTaskQueue
from docwell.errors import Forbidden
from docwell.models import StoredObject
from tests.unit.cases import rows
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


SOURCE = "archive"
KEYS = [f"2026/{folder}/{number:02}.pdf" for folder in ("a", "b", "c") for number in range(7)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCWELL_QUEUE", "ingest")
    monkeypatch.setattr(bucket_copy, "COUNT_EVERY_S", 0.001)
    monkeypatch.setattr(bucket_copy, "WORKERS", 4)


@pytest.fixture
def archive(bucket: S3Client) -> S3Client:
    """A bucket with 21 documents in three folders, beside the documents bucket and its queue."""
    boto3.client("sqs").create_queue(QueueName="ingest")
    bucket.create_bucket(Bucket=SOURCE)
    for key in KEYS:
        put(bucket, key)
    return bucket


@pytest.fixture
def run_load(run: Run) -> Run:
    """Return a function that runs `docwell load` on a prefix of the archive."""

    def docwell_load(prefix: str = "2026/", *options: object, confirm: bool = True) -> Any:
        source = prefix if "://" in prefix else f"s3://{SOURCE}/{prefix}"
        yes = ["--yes"] if confirm else []
        return run("load", source, *yes, *options, "--queue-limit", 5, "--bucket", BUCKET)

    return docwell_load


def put(client: S3Client, key: str, body: bytes | None = None, **more: Any) -> None:
    client.put_object(Bucket=SOURCE, Key=key, Body=key.encode() if body is None else body, **more)


def copies(client: S3Client) -> list[str]:
    """Return the keys of the documents bucket, one for each version."""
    pages = client.get_paginator("list_object_versions").paginate(Bucket=BUCKET)
    return sorted(row["Key"] for page in pages for row in page.get("Versions", []))


def omissions(folder: Path) -> dict[str, str]:
    (path,) = folder.glob("work/*.left-out.jsonl")
    return {row["key"]: row["reason"] for row in map(json.loads, path.read_text().splitlines())}


def refusing(operation: str, status: int, code: str) -> Any:
    """Return an S3 client that gets an error for one operation."""
    client: Any = boto3.client("s3")

    def answer(request: Any, **_: object) -> AWSResponse:
        body = f"<Error><Code>{code}</Code></Error>".encode()
        raw = type("Raw", (), {"stream": lambda _: [body]})()
        return AWSResponse(request.url, status, HTTPHeaders(), raw)

    client.meta.events.register_first(f"before-send.s3.{operation}", answer)
    return client


# --- copies ---


def test_every_document_is_copied_under_the_collection_with_metadata_and_tags(
    run_load: Run, archive: S3Client
) -> None:
    put(archive, "2026/a/é +%.pdf", Metadata={"team": "ops"}, Tagging="state=final", ContentType="application/pdf")
    result = run_load("2026/", "--collection", "reports", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["loaded"] == 22
    assert copies(archive) == sorted(f"reports/{key[5:]}" for key in [*KEYS, "2026/a/é +%.pdf"])
    copy: Any = {"Bucket": BUCKET, "Key": "reports/a/é +%.pdf"}
    head: Any = archive.head_object(**copy)
    assert (head["Metadata"], head["ContentType"]) == ({"team": "ops"}, "application/pdf")
    assert archive.get_object_tagging(**copy)["TagSet"] == [{"Key": "state", "Value": "final"}]


def test_the_second_load_of_a_prefix_copies_only_changed_documents(run_load: Run, archive: S3Client) -> None:
    expected = [key for key in KEYS if key.startswith("2026/b/0")]
    assert run_load("2026/b/0").exit_code == 0
    assert copies(archive) == expected
    put(archive, expected[3], b"longer than it was")
    counts = json.loads(run_load("2026/b/0", "--json").stdout)
    assert (counts["loaded"], counts["unchanged"]) == (1, len(expected) - 1)
    assert copies(archive) == sorted([*expected, expected[3]])


def test_a_dry_run_counts_and_changes_nothing(run_load: Run, archive: S3Client, tmp_path: Path) -> None:
    put(archive, "2026/film.mp4")
    survey = json.loads(run_load("2026/", "--dry-run", "--json").stdout)
    assert (survey["documents"], survey["left_out"]) == (21, {"unknown_kind": 1})
    assert re.search(r"documents +21\b", run_load("2026/", "--dry-run").stdout)
    assert run_load(confirm=False).exit_code == 1  # without an answer
    assert (copies(archive), list((tmp_path / "work").iterdir())) == ([], [])


def test_left_out_objects_are_counted_and_listed_with_their_reason(
    run_load: Run, archive: S3Client, tmp_path: Path
) -> None:
    put(archive, "2026/")
    put(archive, "2026/film.mp4")
    put(archive, "2026/empty.pdf", b"")
    put(archive, "2026/old.pdf", StorageClass="DEEP_ARCHIVE")
    put(archive, f"2026/{'x' * 1013}.pdf", b"x")
    result = run_load("2026/", "--json", "--collection", "a-collection")
    assert result.exit_code == 3
    reasons = {
        "2026/film.mp4": "unknown_kind",
        "2026/empty.pdf": "empty_file",
        "2026/old.pdf": "archived",
        f"2026/{'x' * 1013}.pdf": "key_too_long",
    }
    assert omissions(tmp_path) == reasons
    assert json.loads(result.stdout)["left_out"] == dict.fromkeys(reasons.values(), 1)
    assert len(copies(archive)) == 21


@pytest.mark.parametrize(("status", "code", "reason"), rows(__file__, "refused_copies"))
def test_a_document_that_s3_does_not_copy_is_listed_and_the_next_load_takes_it(
    run_load: Run,
    archive: S3Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    reason: str,
) -> None:
    real = S3Listing.copy

    def copy(self: S3Listing, stored: StoredObject, bucket: str, key: str) -> None:
        if stored.key == KEYS[4]:
            self = S3Listing(refusing("CopyObject", status, code), SOURCE)
        real(self, stored, bucket, key)

    with monkeypatch.context() as patched:
        patched.setattr(S3Listing, "copy", copy)
        assert run_load().exit_code == 3
    assert omissions(tmp_path) == {KEYS[4]: reason}
    assert run_load().exit_code == 0
    assert copies(archive) == KEYS


def test_a_load_without_any_permission_stops_and_one_with_some_lists_the_denied_objects(
    run_load: Run, archive: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = S3Listing.copy
    tried: list[str] = []
    closed = True

    def copy(self: S3Listing, stored: StoredObject, bucket: str, key: str) -> None:
        tried.append(key)
        if closed or "/b/" in key:
            raise Forbidden("AccessDenied")
        real(self, stored, bucket, key)

    monkeypatch.setattr(S3Listing, "copy", copy)
    monkeypatch.setattr(bucket_copy, "_DENIED_AT_FIRST", 5)
    result = run_load()
    assert (result.exit_code, "AccessDenied" in result.stderr) == (1, True)
    assert len(tried) < len(KEYS)
    closed = False
    monkeypatch.setattr(bucket_copy, "WORKERS", 1)
    assert run_load().exit_code == 3
    assert omissions(tmp_path) == {key: "forbidden" for key in KEYS if "/b/" in key}


def test_the_gate_sends_only_as_many_documents_as_the_queue_has_room_for() -> None:
    counts = [0, 2, 9]
    gate = bucket_copy.QueueGate(counts.pop, 5)
    for expected in ([0], [0], [0], []):
        gate.enter()
        assert counts == expected


# --- interruptions ---


class Killed(BaseException):
    """The end of the process, at one call, which no `except Exception` catches."""


def dying(real: Callable[..., Any], at: int, *, after: bool) -> Callable[..., Any]:
    """Return the call; from its `at`-th time on it raises `Killed`, before or after it works."""
    calls = 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > at or (calls == at and not after):
            raise Killed
        result = real(*arguments, **options)
        if calls == at:
            raise Killed
        return result

    return call


STEPS = [(S3Listing, "copy"), (SqsTaskQueue, "waiting"), (S3Listing, "page")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[f"{owner.__name__}.{name}" for owner, name in STEPS])
def test_a_killed_load_goes_on_and_copies_each_document_once(
    run_load: Run,
    archive: S3Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    after: bool,
) -> None:
    put(archive, "2026/film.mp4")
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, dying(getattr(owner, name), 4, after=after))
        with suppress(Killed):
            run_load()
    result = run_load()
    assert result.exit_code == 3, result.output
    assert copies(archive) == KEYS
    assert omissions(tmp_path) == {"2026/film.mp4": "unknown_kind"}
    assert len(next(tmp_path.glob("work/*.jsonl")).read_text().splitlines()) == 1
