"""`docwell load` copies documents of other buckets and skips loaded ones (moto)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from docwell.adapters import s3
from docwell.adapters.s3 import S3Copier, S3Listing
from docwell.bucket_ports import StoredObject
from docwell.cli import load
from docwell.cli.loading import run as run_module
from docwell.cli.remote import s3_client
from docwell.cli.settings import Settings
from docwell.errors import Forbidden
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import BUCKET
from tests.unit.cli.load_archive import (
    KEYS,
    SOURCE,
    WHERE,
    answering,
    archive,
    omissions,
    put,
    queue,
    quick,
    versions,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

__all__ = ["archive", "queue", "quick"]


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


def test_a_load_of_few_documents_does_not_list_the_whole_documents_bucket(
    run: Run, archive: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(archive, "0.pdf")
    run("load", f"s3://{SOURCE}/", "--yes", *WHERE)
    put(archive, "3.pdf")
    for number in range(40):
        archive.put_object(Bucket=BUCKET, Key=f"2027/{number:02}.pdf", Body=b"x")
    monkeypatch.setattr(s3, "_LIST_PAGE", 2)
    listed: list[str] = []
    real = S3Listing.page

    def page(self: S3Listing, after: str, until: str = "") -> Any:
        rows, last = real(self, after, until)
        listed.extend(one.key for one in rows if self._bucket == BUCKET)
        return rows, last

    monkeypatch.setattr(S3Listing, "page", page)
    result = run("load", f"s3://{SOURCE}/", "--yes", "--json", *WHERE)
    assert (json.loads(result.stdout)["loaded"], json.loads(result.stdout)["unchanged"]) == (1, 22)
    assert sum(key.startswith("2027/") for key in listed) < 10


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


def test_a_wrong_price_file_is_refused_before_the_listing(
    run: Run, archive: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCWELL_PRICES", str(tmp_path / "none.json"))
    monkeypatch.setattr(S3Listing, "page", lambda *_: pytest.fail("listed"))
    for option in ("--dry-run", "--yes"):
        result = run("load", f"s3://{SOURCE}/2026/", option, *WHERE)
        assert result.exit_code == 2
        assert "none.json" in result.stderr


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


def test_a_load_that_goes_on_after_denials_does_not_stop_at_each_further_group(
    run: Run, archive: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(*_: object) -> None:
        raise Forbidden("not for you")

    monkeypatch.setattr(S3Copier, "copy", copy)
    assert run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE).exit_code == 1
    # The user has read why it stopped. The same command lists the rest too, and ends.
    assert run("load", f"s3://{SOURCE}/2026/", "--yes", *WHERE).exit_code == 3
    assert omissions(tmp_path) == dict.fromkeys(KEYS, "forbidden")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("load", "archive/2026"), "s3://BUCKET/PREFIX"),
        (("load", f"s3://{BUCKET}/"), "docwell reconcile"),
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
    monkeypatch.setattr(run_module, "_RETRY_AFTER_S", (20.0,))

    def denying(settings: Settings, **config: Any) -> S3Client:
        made = s3_client(settings, **config)
        if source == SOURCE:
            answering(made, "ListObjectsV2", 403, code)
        return made

    monkeypatch.setattr(load, "s3_client", denying)
    result = run("load", f"s3://{source}/2026/", "--yes", *WHERE)
    assert result.exit_code == 1
    assert f"{source!r} answered {code}" in result.stderr


def test_the_help_of_the_program_imports_no_boto3() -> None:
    code = "import sys; from docwell.cli import app; assert not {'boto3', 'pydantic'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
