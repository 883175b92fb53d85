"""`docwell load` copies documents of other buckets, skips loaded ones, and survives interruptions (moto)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from docwell.adapters import s3_copies
from docwell.adapters.s3_copies import S3Copier
from docwell.adapters.sqs import SqsTaskQueue
from docwell.bucket_ports import StoredObject
from docwell.cli import load
from docwell.cli.loading import gate
from docwell.cli.loading import run as run_module
from docwell.cli.loading.state import LoadState
from docwell.cli.settings import Settings
from docwell.errors import NotFound, Unavailable
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

SOURCE = "archive"
KEYS = [f"2026/{folder}/{number:02}.pdf" for folder in ("a", "b", "c") for number in range(7)]
WHERE = ("--bucket", BUCKET, "--queue", "ingest")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "LOOK_S", 0.001)
    monkeypatch.setattr(load, "QueueGate", partial(gate.QueueGate, pace=1e6))
    monkeypatch.setattr(run_module, "_RETRY_AFTER_S", (0.0,))
    monkeypatch.setattr(load, "_WORKERS", 4)


@pytest.fixture
def queue(bucket: S3Client) -> SQSClient:
    sqs = boto3.client("sqs")
    sqs.create_queue(QueueName="ingest")
    return sqs


@pytest.fixture
def archive(bucket: S3Client, queue: SQSClient) -> S3Client:
    """A bucket with 21 documents in three folders, beside the documents bucket."""
    bucket.create_bucket(Bucket=SOURCE)
    for key in KEYS:
        put(bucket, key)
    return bucket


def put(s3: S3Client, key: str, body: bytes | None = None, **more: Any) -> None:
    s3.put_object(Bucket=SOURCE, Key=key, Body=key.encode() if body is None else body, **more)


def versions(s3: S3Client) -> list[str]:
    """Return the keys of the documents bucket, one for each version."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET)
    return [row["Key"] for page in pages for row in page.get("Versions", [])]


def hinted(sqs: SQSClient) -> list[str]:
    url = sqs.get_queue_url(QueueName="ingest")["QueueUrl"]
    keys: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        keys += [json.loads(one["Body"])["docwell"]["key"] for one in messages]
    return keys


def omissions(folder: Path) -> dict[str, str]:
    (path,) = folder.glob("work/*.left-out.jsonl")
    return {one["key"]: one["reason"] for one in map(json.loads, path.read_text().splitlines())}


def stored(folder: Path) -> Any:
    (path,) = folder.glob("work/docwell-load-????????.json")
    return json.loads(path.read_text())


def test_every_document_is_copied_under_the_collection_with_metadata_and_tags(run: Run, archive: S3Client) -> None:
    put(archive, "2026/a/é +%.pdf", Metadata={"team": "ops"}, Tagging="state=final", ContentType="application/pdf")
    result = run("load", f"s3://{SOURCE}/2026/", "--collection", "reports", "--yes", "--json", *WHERE)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["loaded"] == 22
    assert sorted(versions(archive)) == sorted(f"reports/{key[5:]}" for key in [*KEYS, "2026/a/é +%.pdf"])
    copy = {"Bucket": BUCKET, "Key": "reports/a/é +%.pdf"}
    head: Any = archive.head_object(**copy)  # type: ignore[arg-type]
    assert (head["Metadata"], head["ContentType"]) == ({"team": "ops"}, "application/pdf")
    assert archive.get_object_tagging(**copy)["TagSet"] == [{"Key": "state", "Value": "final"}]  # type: ignore[arg-type]


def test_without_a_collection_keys_stay_and_only_the_prefix_is_loaded(run: Run, archive: S3Client) -> None:
    assert run("load", f"s3://{SOURCE}/2026/b/0", "--yes", *WHERE).exit_code == 0
    assert versions(archive) == [key for key in KEYS if key.startswith("2026/b/0")]


def test_the_second_load_copies_only_what_changed(run: Run, archive: S3Client) -> None:
    run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE)
    put(archive, KEYS[3], b"longer than it was")
    result = run("load", f"s3://{SOURCE}/2026/", "--yes", "--json", *WHERE)
    assert (json.loads(result.stdout)["loaded"], json.loads(result.stdout)["unchanged"]) == (1, 20)
    assert sorted(versions(archive)) == sorted([*KEYS, KEYS[3]])


def test_a_dry_run_estimates_pages_hours_and_price_and_changes_nothing(
    run: Run, archive: S3Client, tmp_path: Path
) -> None:
    put(archive, "2026/film.mp4")
    arguments = ("load", f"s3://{SOURCE}/2026/", "--dry-run", "--pages", "20", *WHERE)
    found = json.loads(run(*arguments, "--json").stdout)
    assert (found["documents"], found["left_out"], found["estimate"]["pages"]) == (21, {"unknown_kind": 1}, 420)
    assert found["estimate"]["price"] > 0
    assert found["estimate"]["hours"]["2"] == pytest.approx(420 * 0.09 / 2 / 3600, abs=0.01)
    shown = run(*arguments)
    assert shown.exit_code == 0
    assert "21 documents" in shown.stdout
    assert "at 100 workers" in shown.stdout
    assert versions(archive) == []
    assert list((tmp_path / "work").iterdir()) == []


def test_nothing_is_loaded_before_the_answer_yes(run: Run, archive: S3Client) -> None:
    assert run("load", f"s3://{SOURCE}/2026/", *WHERE).exit_code == 1
    assert versions(archive) == []


def test_what_cannot_be_loaded_is_counted_and_listed_with_its_reason(
    run: Run, archive: S3Client, tmp_path: Path
) -> None:
    put(archive, "2026/")
    put(archive, "2026/film.mp4")
    put(archive, "2026/empty.pdf", b"")
    put(archive, "2026/large.pdf", b"x" * 100)
    put(archive, "2026/old.pdf", StorageClass="DEEP_ARCHIVE")
    put(archive, f"2026/{'x' * 1013}.pdf", b"x")
    collection = ("--collection", "a-collection")
    result = run("load", f"s3://{SOURCE}/2026/", "--yes", "--max-bytes", 99, "--json", *collection, *WHERE)
    assert result.exit_code == 3
    reasons = {
        "2026/film.mp4": "unknown_kind",
        "2026/empty.pdf": "empty_file",
        "2026/large.pdf": "too_large",
        "2026/old.pdf": "archived",
        f"2026/{'x' * 1013}.pdf": "key_too_long",
    }
    assert omissions(tmp_path) == reasons
    assert json.loads(result.stdout)["left_out"] == dict.fromkeys(reasons.values(), 1)
    assert len(versions(archive)) == 21


def answering(s3: Any, operation: str, status: int, code: str) -> None:
    """Make S3 answer one operation of the copier's client with an error."""

    def answer(request: Any, **_: object) -> AWSResponse:
        raw = type("Raw", (), {"stream": lambda _: [f"<Error><Code>{code}</Code></Error>".encode()]})()
        return AWSResponse(request.url, status, HTTPHeaders(), raw)

    s3.meta.events.register_first(f"before-send.s3.{operation}", answer)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (412, "PreconditionFailed", "changed"),
        (404, "NoSuchKey", "changed"),
        (403, "AccessDenied", "forbidden"),
        (403, "InvalidObjectState", "archived"),
        (400, "InvalidRequest", "refused"),
    ],
)
def test_a_document_that_s3_does_not_copy_is_listed_and_the_next_load_takes_it(
    run: Run,
    archive: S3Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    reason: str,
) -> None:
    real = S3Copier.copy

    def copy(self: S3Copier, one: StoredObject, key: str) -> None:
        if one.key == KEYS[4]:
            refusing = boto3.client("s3")
            answering(refusing, "CopyObject", status, code)
            return real(S3Copier(refusing, SOURCE, BUCKET), one, key)
        return real(self, one, key)

    with monkeypatch.context() as patched:
        patched.setattr(S3Copier, "copy", copy)
        assert run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE).exit_code == 3
    assert omissions(tmp_path) == {KEYS[4]: reason}
    assert run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE).exit_code == 0
    assert sorted(versions(archive)) == KEYS


def test_wrong_permissions_stop_the_load_after_some_documents(
    run: Run, archive: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def copy(self: S3Copier, one: StoredObject, key: str) -> None:
        tried.append(key)
        refusing = boto3.client("s3")
        answering(refusing, "CopyObject", 403, "AccessDenied")
        S3Copier.really(S3Copier(refusing, SOURCE, BUCKET), one, key)  # type: ignore[attr-defined]

    monkeypatch.setattr(S3Copier, "really", S3Copier.copy, raising=False)
    monkeypatch.setattr(S3Copier, "copy", copy)
    result = run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE)
    assert result.exit_code == 1
    assert "AccessDenied" in result.stderr
    assert len(tried) < len(KEYS)


def test_a_large_object_is_copied_in_parts_and_a_failed_copy_leaves_none(
    archive: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 5 * 1024 * 1024  # the least that S3 takes
    monkeypatch.setattr(s3_copies, "_IN_PARTS_FROM", part)
    monkeypatch.setattr(s3_copies, "_PART", part)
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

    bucket.meta.events.register_first("before-send.s3.ListObjectsV2", list_objects)
    rows, _ = s3_copies.S3Listing(bucket, SOURCE).page("")
    assert [one.archived for one in rows] == [archived]
    assert asked in (["RestoreStatus"], [b"RestoreStatus"])


def test_documents_of_the_own_bucket_are_sent_to_ingest_and_stay(
    run: Run, bucket: S3Client, queue: SQSClient
) -> None:
    for key in ("old/a.pdf", "old/b é.mp4", "other.pdf"):
        bucket.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    result = run("load", f"s3://{BUCKET}/old/", "--yes", *WHERE)
    assert result.exit_code == 0, result.output
    # Ingest gives also the one that it cannot read a status.
    assert sorted(hinted(queue)) == ["old/a.pdf", "old/b é.mp4"]
    assert len(versions(bucket)) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("load", "archive/2026"), "s3://BUCKET/PREFIX"),
        (("load", f"s3://{BUCKET}/", "--collection", "x"), "stay where they are"),
    ],
)
def test_wrong_usage_says_what_is_wrong(run: Run, queue: SQSClient, arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments, *WHERE)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("source", "code"), [("no-such-archive", "NoSuchBucket"), (SOURCE, "AccessDenied")], ids=["name", "permission"]
)
def test_a_bucket_that_cannot_be_listed_ends_the_load_at_once(
    run: Run, archive: S3Client, monkeypatch: pytest.MonkeyPatch, source: str, code: str
) -> None:
    monkeypatch.setattr(run_module, "_RETRY_AFTER_S", (600.0,))
    real = load.aws_client

    def denying(settings: Settings, service: str, **config: Any) -> Any:
        made = real(settings, service, **config)
        if service == "s3" and source == SOURCE:
            answering(made, "ListObjectsV2", 403, code)
        return made

    monkeypatch.setattr(load, "aws_client", denying)
    result = run("load", f"s3://{source}/2026/", "--yes", *WHERE)
    assert result.exit_code == 1
    assert f"{source!r} answered {code}" in result.stderr


# --- interruptions ---


class Killed(BaseException):
    """The end of the process, at one call: no `except Exception` sees it."""


def dying(real: Callable[..., Any], at: int, *, after: bool) -> Callable[..., Any]:
    """Return the call, which raises `Killed` at its `at`-th time, before or after it works, and ever after."""
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


STEPS = [
    (S3Copier, "copy"),
    (LoadState, "record"),
    (LoadState, "_store"),
    (Path, "replace"),
    (SqsTaskQueue, "waiting"),
    (s3_copies.S3Listing, "page"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[f"{owner.__name__}.{name}" for owner, name in STEPS])
def test_a_killed_load_goes_on_and_copies_each_document_once(
    run: Run,
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
            run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE)
    result = run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE)
    assert result.exit_code == 3, result.output
    assert sorted(versions(archive)) == KEYS
    assert omissions(tmp_path) == {"2026/film.mp4": "unknown_kind"}
    assert len(next(tmp_path.glob("work/*.jsonl")).read_text().splitlines()) == 1


def test_a_killed_load_of_the_own_bucket_loses_no_hint_and_repeats_few(
    run: Run, bucket: S3Client, queue: SQSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in KEYS:
        bucket.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    with monkeypatch.context() as patched:
        patched.setattr(LoadState, "record", dying(LoadState.record, 2, after=False))
        with suppress(Killed):
            run("load", f"s3://{BUCKET}/2026/", "--yes", *WHERE)
    assert run("load", f"s3://{BUCKET}/2026/", "--yes", *WHERE).exit_code == 0
    sent = hinted(queue)
    assert sorted(set(sent)) == KEYS
    # Of each thread, the hints that were sent and not stored.
    assert len(sent) - len(KEYS) <= 10 * 4


def test_ctrl_c_stores_the_place_and_says_how_to_go_on(
    run: Run, archive: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = S3Copier.copy
    copied: list[str] = []

    def copy(self: S3Copier, one: StoredObject, key: str) -> None:
        real(self, one, key)
        copied.append(key)
        if len(copied) == 12:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(S3Copier, "copy", copy)
        patched.setattr(load, "_WORKERS", 1)
        patched.setattr(load, "_PARTITIONS", 4)
        result = run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE)
    assert result.exit_code == 1
    assert "the same command, in this folder, goes on" in result.stderr
    assert stored(tmp_path)["loaded"] == len(versions(archive)) < 21
    result = run("load", f"s3://{SOURCE}/2026/", *WHERE)
    assert "going on" in result.stderr
    assert stored(tmp_path)["loaded"] == 21
    assert sorted(versions(archive)) == KEYS


def test_a_queue_that_does_not_answer_once_does_not_end_the_load(
    run: Run, archive: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = SqsTaskQueue.waiting, [Unavailable("sqs", "sqs does not answer")]

    def waiting(self: SqsTaskQueue) -> int:
        if failures:
            raise failures.pop()
        return real(self)

    monkeypatch.setattr(SqsTaskQueue, "waiting", waiting)
    result = run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE)
    assert result.exit_code == 0, result.output
    assert sorted(versions(archive)) == KEYS


def test_two_processes_do_not_run_the_same_load_at_once(
    run: Run, archive: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    second: list[Any] = []
    real = S3Copier.copy

    def copy(self: S3Copier, one: StoredObject, key: str) -> None:
        if one.key == KEYS[0]:
            second.append(run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE))
        real(self, one, key)

    monkeypatch.setattr(S3Copier, "copy", copy)
    monkeypatch.setattr(load, "_WORKERS", 1)
    assert run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE).exit_code == 0
    assert [one.exit_code for one in second] == [1]
    assert "another process" in second[0].stderr
    assert sorted(versions(archive)) == KEYS


def test_a_stored_state_that_cannot_be_read_is_named(run: Run, archive: S3Client, tmp_path: Path) -> None:
    run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE)
    (path,) = tmp_path.glob("work/docwell-load-????????.json")
    path.write_text("{")
    result = run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE)
    assert result.exit_code == 2
    assert path.name in result.stderr


def test_the_help_of_the_program_imports_no_boto3() -> None:
    code = "import sys; from docwell.cli import app; assert not {'boto3', 'pydantic'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
