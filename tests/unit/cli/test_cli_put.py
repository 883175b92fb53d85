"""`docwell put`: the upload, and the wait for the uploaded version."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from docwell.cli import documents
from docwell.cli.documents import _looks_readable
from docwell.cli.remote import Bucket
from docwell.cli.settings import Failure
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import BUCKET, FakeApi

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


ODD_KEY = "a+b %&/é 日本 ?#.pdf"


def newest(client: S3Client, key: str) -> str:
    return client.head_object(Bucket=BUCKET, Key=key)["VersionId"]


def indexes_what_is_in_the_bucket(api: FakeApi, client: S3Client, status: str = "INDEXED") -> None:
    """Let the API report each key's newest version, as after ingest."""

    def look(key: str) -> None:
        version = newest(client, key)
        api.documents[key] = [{"document": key, "status": status, "version": version, "pages": 3}]

    api.on_document = look


def test_put_waits_for_the_version_it_uploaded_and_not_for_an_older_one(
    run: Run, api: FakeApi, bucket: S3Client, pdf: Path
) -> None:
    def upload_is_seen(key: str) -> None:
        old = {"document": key, "status": "INDEXED", "version": "an older one", "pages": 1}
        pending = old | {"status": "PENDING", "version": newest(bucket, key), "pages": 9, "pages_done": 4}
        done = pending | {"status": "INDEXED", "pages_done": 9}
        api.documents.setdefault(key, [old, old, old, pending, pending, done])

    api.on_document = upload_is_seen
    result = run("put", pdf, api=api)
    assert result.exit_code == 0, result.stderr
    assert [path for _, path, _, _ in api.requests] == ["/v1/health", *["/v1/documents/report.pdf"] * 6]
    assert "INDEXED" in result.stdout
    assert bucket.head_object(Bucket=BUCKET, Key="report.pdf")["ContentType"] == "application/pdf"


def test_put_waits_by_etag_where_the_bucket_has_no_versions(
    run: Run, api: FakeApi, bucket: S3Client, pdf: Path
) -> None:
    bucket.create_bucket(Bucket="plain")
    etag = ""

    def look(key: str) -> None:
        nonlocal etag
        etag = bucket.head_object(Bucket="plain", Key=key)["ETag"]
        api.documents[key] = [{"document": key, "status": "INDEXED", "version": etag, "pages": 1}]

    api.on_document = look
    result = run("put", pdf, "--endpoint", api.endpoint, "--bucket", "plain", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["documents"][0]["version"] == etag


def test_put_follows_a_key_that_another_client_replaces(
    run: Run, api: FakeApi, bucket: S3Client, pdf: Path
) -> None:
    def replace(key: str) -> None:
        if key not in api.documents:
            bucket.put_object(Bucket=BUCKET, Key=key, Body=b"%PDF-1.4 newer")
        api.documents[key] = [{"document": key, "status": "INDEXED", "version": newest(bucket, key), "pages": 2}]

    api.on_document = replace
    assert run("put", pdf, api=api).exit_code == 0
    assert [path for _, path, _, _ in api.requests] == ["/v1/health", *["/v1/documents/report.pdf"] * 2]


@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "EMPTY"])
def test_put_exits_3_when_a_document_is_not_indexed(
    run: Run, status: str, api: FakeApi, bucket: S3Client, pdf: Path
) -> None:
    indexes_what_is_in_the_bucket(api, bucket, status)
    result = run("put", pdf, api=api)
    assert result.exit_code == 3
    assert status in result.stdout


def test_put_gives_up_when_nothing_moves(run: Run, api: FakeApi, bucket: S3Client, pdf: Path) -> None:
    result = run("put", pdf, "--stall", "1", api=api)
    assert result.exit_code == 1
    assert "no progress for 1 s" in result.stderr
    assert "report.pdf" in result.stderr


def test_put_uploads_nothing_when_the_api_cannot_be_reached(run: Run, bucket: S3Client, pdf: Path) -> None:
    api = FakeApi()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        api.endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = run("put", pdf, api=api)
    assert result.exit_code == 1
    assert f"cannot reach {api.endpoint}" in result.stderr
    assert "Traceback" not in result.output
    assert bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_put_without_waiting_does_not_need_the_api(run: Run, bucket: S3Client, pdf: Path) -> None:
    result = run("put", pdf, "--no-wait", "--bucket", BUCKET, "--collection", "reports/2026")
    assert result.exit_code == 0, result.stderr
    assert bucket.list_objects_v2(Bucket=BUCKET)["Contents"][0]["Key"] == "reports/2026/report.pdf"


def test_an_odd_key_is_asked_for_as_one_path_segment(run: Run, api: FakeApi, bucket: S3Client, pdf: Path) -> None:
    indexes_what_is_in_the_bucket(api, bucket)
    result = run("put", pdf, "--key", ODD_KEY, "--json", api=api)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["documents"][0]["document"] == ODD_KEY
    assert json.loads(run("status", ODD_KEY, "--json", api=api).stdout)["document"] == ODD_KEY


def test_a_file_of_an_unknown_kind_is_warned_about_and_uploaded(
    run: Run, bucket: S3Client, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.bin"
    notes.write_text("plain text")
    result = run("put", notes, "--no-wait", "--bucket", BUCKET)
    assert "does not look like a document that docwell reads" in result.stderr
    assert bucket.head_object(Bucket=BUCKET, Key="notes.bin")["ContentLength"] == 10


def test_wrong_uses_of_put_exit_2(run: Run, tmp_path: Path, pdf: Path) -> None:
    (tmp_path / "empty").mkdir()
    twin = tmp_path / "work" / "report.pdf"
    twin.write_bytes(b"%PDF-")
    for arguments in (
        [tmp_path / "empty"],
        [tmp_path / "missing.pdf"],
        [pdf, twin],
        [pdf, twin, "--key", "k"],
        [pdf, "--key", "k", "--collection", "c"],
    ):
        result = run("put", *arguments, "--bucket", BUCKET, "--endpoint", "http://127.0.0.1:1")
        assert result.exit_code == 2, arguments


def test_a_bucket_that_does_not_exist_is_one_line(run: Run, bucket: S3Client, pdf: Path) -> None:
    result = run("put", pdf, "--no-wait", "--bucket", "no-such-bucket")
    assert result.exit_code == 1
    assert "NoSuchBucket" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_missing_credentials_are_one_line(run: Run, pdf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    result = run("put", pdf, "--no-wait", "--bucket", BUCKET, "--aws-endpoint", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "credentials" in result.stderr
    assert "Traceback" not in result.output


def test_put_goes_on_after_a_file_that_fails_lists_it_and_exits_1(
    run: Run, api: FakeApi, bucket: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexes_what_is_in_the_bucket(api, bucket)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.pdf", "b.pdf", "c.pdf", "d.pdf"):
        (folder / name).write_bytes(b"%PDF-1.7")
    upload = Bucket.upload

    def failing(self: Bucket, path: Path, key: str, on_bytes: Callable[[int], None]) -> str:
        if key == "b.pdf":
            raise Failure(f"cannot upload {path}: AccessDenied")
        return upload(self, path, key, on_bytes)

    monkeypatch.setattr(Bucket, "upload", failing)

    def looks(path: Path) -> bool:
        if path.name == "c.pdf":
            raise Failure(f"cannot read {path}: Permission denied")
        return _looks_readable(path)

    monkeypatch.setattr(documents, "_looks_readable", looks)
    result = run("put", folder, "--json", api=api)
    assert result.exit_code == 1
    shown = {one["document"]: one["status"] for one in json.loads(result.stdout)["documents"]}
    assert shown == {"a.pdf": "INDEXED", "b.pdf": "NOT UPLOADED", "c.pdf": "NOT UPLOADED", "d.pdf": "INDEXED"}
    assert "2 of 4 files were not uploaded" in result.stderr
    assert "AccessDenied" in result.stderr


def test_put_stops_when_every_upload_fails(
    run: Run, bucket: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def failing(self: Bucket, path: Path, key: str, on_bytes: Callable[[int], None]) -> str:
        tried.append(key)
        raise Failure("cannot reach the bucket")

    monkeypatch.setattr(Bucket, "upload", failing)
    for number in range(20):
        (tmp_path / f"{number}.pdf").write_bytes(b"%PDF-1.7")
    assert run("put", tmp_path, "--no-wait", "--bucket", BUCKET).exit_code == 1
    assert len(tried) == 5


def test_put_asks_less_often_while_nothing_moves(
    run: Run, api: FakeApi, bucket: S3Client, pdf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_PAUSE_S", 0.5)
    clock = Clock()
    monkeypatch.setattr(documents, "time", clock)
    assert run("put", pdf, "--stall", "300", api=api).exit_code == 1
    asked = [path for _, path, _, _ in api.requests if path.startswith("/v1/documents/")]
    assert len(asked) <= 300 / 5 + 10
    assert clock.now >= 300


def test_put_ends_when_its_document_was_deleted_before_ingest_saw_it(
    run: Run, api: FakeApi, bucket: S3Client, pdf: Path
) -> None:
    api.on_document = lambda key: bucket.delete_object(Bucket=BUCKET, Key=key) and None
    result = run("put", pdf, "--json", api=api)
    assert result.exit_code == 0, result.output
    assert [one["status"] for one in json.loads(result.stdout)["documents"]] == ["DELETED"]


def folder_of(tmp_path: Path, count: int) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.pdf").write_bytes(b"%PDF-1.7")
    return folder


def lists_what_is_in_the_bucket(api: FakeApi, client: S3Client, finished: Callable[[int], int]) -> None:
    """Let the list report as many keys as indexed as `finished` says at its call; the rest is PENDING."""
    calls = 0

    def look(_wanted: dict[str, str]) -> None:
        nonlocal calls
        calls += 1
        for number, item in enumerate(client.list_object_versions(Bucket=BUCKET).get("Versions", [])):
            status = "INDEXED" if number < finished(calls) else "PENDING"
            key = item["Key"]
            api.documents[key] = [{"document": key, "status": status, "version": item["VersionId"]}]

    api.on_list = look


@pytest.mark.parametrize("count", [11, 101])
def test_many_documents_are_followed_by_one_list_a_round(
    run: Run, api: FakeApi, bucket: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    clock = Clock()
    monkeypatch.setattr(documents, "time", clock)
    monkeypatch.setattr(documents, "_LIST_PAUSE_S", 5.0)
    lists_what_is_in_the_bucket(api, bucket, lambda calls: count if calls > 60 else 0)
    result = run("put", folder_of(tmp_path, count), "--collection", "reports", "--stall", "900", api=api)
    assert result.exit_code == 0, result.stderr
    asked = [path for _, path, _, _ in api.requests if path.startswith("/v1/documents")]
    assert len(asked) == 61
    assert set(asked) == {"/v1/documents?collection=reports&limit=1000&prefix=reports%2F" + prefix_of(count)}
    assert len(asked) / clock.now < 0.25


def prefix_of(count: int) -> str:
    return "" if count > 100 else "0"


def test_documents_that_a_list_does_not_serve_are_asked_for_one_by_one_at_most_once_a_second(
    run: Run, api: FakeApi, bucket: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(documents, "time", clock)
    # The collection has more documents than a few pages hold.
    api.pages = [{"documents": [], "cursor": "0"}]
    indexes_what_is_in_the_bucket(api, bucket)
    result = run("put", folder_of(tmp_path, 120), "--stall", "900", api=api)
    assert result.exit_code == 0, result.stderr
    paths = [path for _, path, _, _ in api.requests]
    assert sum(path.startswith("/v1/documents?") for path in paths) == 5
    assert sum(path.startswith("/v1/documents/") for path in paths) == 120
    assert clock.now >= (120 - 10) - 60  # the last round needs no pause


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_after_the_time_that_it_names(
    run: Run, api: FakeApi, bucket: S3Client, pdf: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    clock = Clock()
    monkeypatch.setattr(documents, "time", clock)
    indexes_what_is_in_the_bucket(api, bucket)
    api.refusals = [(status, {"retry-after": "7"})] * 20
    assert run("put", pdf, api=api).exit_code == 0
    assert clock.now == pytest.approx(20 * 7)


def test_the_pause_for_a_busy_server_grows_until_the_stall_limit(
    run: Run, api: FakeApi, bucket: S3Client, pdf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(documents, "time", clock)
    api.refusals = [(429, {})] * 20
    result = run("put", pdf, "--stall", "300", api=api)
    assert result.exit_code == 1
    assert "Too Many Requests (HTTP 429" in result.stderr
    assert clock.now >= 300
    assert len(api.refusals) >= 10


def test_without_quota_for_lists_documents_are_asked_for_one_by_one(
    run: Run, api: FakeApi, bucket: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "time", Clock())
    indexes_what_is_in_the_bucket(api, bucket)
    api.refusals = [(429, {"retry-after": "40000"})]
    result = run("put", folder_of(tmp_path, 12), api=api)
    assert result.exit_code == 0, result.stderr
    assert sum(path.startswith("/v1/documents/") for _, path, _, _ in api.requests) == 12


def test_a_listed_document_that_another_client_replaced_or_deleted_is_found_by_the_bucket(
    run: Run, api: FakeApi, bucket: S3Client, tmp_path: Path
) -> None:
    changed = False

    def change(_wanted: dict[str, str]) -> None:
        nonlocal changed
        if not changed:
            bucket.put_object(Bucket=BUCKET, Key="000.pdf", Body=b"%PDF-1.4 newer")
            bucket.delete_object(Bucket=BUCKET, Key="011.pdf")
            changed = True
        for item in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]:
            record = {"document": item["Key"], "status": "INDEXED", "version": newest(bucket, item["Key"])}
            api.documents[item["Key"]] = [record]

    api.on_list = change
    api.on_document = lambda _key: change({})
    result = run("put", folder_of(tmp_path, 12), "--json", api=api)
    assert result.exit_code == 0, result.stderr
    shown = {one["document"]: one["status"] for one in json.loads(result.stdout)["documents"]}
    assert shown == {f"{number:03}.pdf": "INDEXED" for number in range(11)} | {"011.pdf": "DELETED"}


class Clock:
    """A clock whose sleep takes no time."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
