"""`docwell put | ls | status | rm | sync`: the upload, and the wait for the uploaded version."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import boto3
import pytest
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer
from typer.testing import Result

from docwell.cli import documents
from docwell.cli.remote import Bucket
from docwell.cli.settings import Failure
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import BUCKET, FakeApi

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ODD_KEY = "a+b %&/é 日本 ?#.pdf"


class Clock:
    """A clock whose sleep takes no time."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the wait, with the pauses of the command."""
    clock = Clock()
    monkeypatch.setattr(documents, "time", clock)
    monkeypatch.setattr(documents, "_PAUSE_S", 0.5)
    return clock


def newest(client: S3Client, key: str) -> str:
    return client.head_object(Bucket=BUCKET, Key=key)["VersionId"]


def indexes_the_bucket(api: FakeApi, client: S3Client, status: str = "INDEXED") -> None:
    """Let the API report each key's newest version, as after ingest."""

    def report(key: str) -> None:
        version = newest(client, key)
        api.documents[key] = [{"document": key, "status": status, "version": version, "pages": 3}]

    api.on_document = report


def folder_of(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "folder"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"%PDF-1.7")
    return folder


def numbered(count: int) -> list[str]:
    return [f"{number:03}.pdf" for number in range(count)]


def stored(client: S3Client) -> list[str]:
    return [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def statuses(output: str) -> dict[str, str]:
    return {record["document"]: record["status"] for record in json.loads(output)["documents"]}


# --- the upload ---


def test_a_folder_keeps_its_paths_and_other_files_stay_out(run: Run, bucket: S3Client, tmp_path: Path) -> None:
    keys = ["a.pdf", "deep/notes.txt", "deep/é 日本.PDF"]
    others = ("Makefile", "b.EXE", "c.json", "deep/tool.exe", "._a.pdf", ".git/info.txt", "b/.venv/lib/c.pdf")
    folder = folder_of(tmp_path, *keys, *others, "README.md", "deep/README.md", ".docwellignore")
    (folder / ".docwellignore").write_text("README.md\n# a comment\n\n")
    (folder / "secret.pdf").symlink_to(tmp_path / "secret.pdf")
    (tmp_path / "secret.pdf").write_bytes(b"%PDF-1.7")
    result = run("put", folder, "--no-wait", "--bucket", BUCKET, "--json")
    assert list(statuses(result.stdout)) == keys == stored(bucket)
    types = [bucket.head_object(Bucket=BUCKET, Key=key)["ContentType"] for key in keys]
    assert types == ["application/pdf", "text/plain", "application/pdf"]
    assert "left out 10 (hidden" in result.stderr
    assert run("put", folder / ".git", "--no-wait", "--bucket", BUCKET).exit_code == 0


def test_a_suffix_has_the_same_effect_in_a_folder_and_by_name(run: Run, bucket: S3Client, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.json", "b.py", "c.pdf")
    run("put", *folder.iterdir(), "--no-wait", "--bucket", BUCKET)
    assert stored(bucket) == ["c.pdf"]
    result = run("put", folder / "a.json", "--no-wait", "--bucket", BUCKET)
    assert (result.exit_code, "--key NAME.txt" in result.stderr) == (2, True)
    assert run("put", folder / "a.json", "--key", "a.json.txt", "--no-wait", "--bucket", BUCKET).exit_code == 0
    assert stored(bucket) == ["a.json.txt", "c.pdf"]


def test_an_odd_key_is_one_path_segment(run: Run, api: FakeApi, bucket: S3Client, pdf: Path) -> None:
    indexes_the_bucket(api, bucket)
    result = run("put", pdf, "--key", ODD_KEY, "--json", api=api)
    assert result.exit_code == 0, result.output
    assert statuses(result.stdout) == {ODD_KEY: "INDEXED"}
    assert json.loads(run("status", ODD_KEY, "--json", api=api).stdout)["document"] == ODD_KEY


def test_put_uploads_nothing_when_the_api_cannot_be_reached(run: Run, bucket: S3Client, pdf: Path) -> None:
    result = run("put", pdf, "--bucket", BUCKET, "--endpoint", "http://127.0.0.1:1")
    assert (result.exit_code, "cannot reach http://127.0.0.1:1" in result.stderr) == (1, True)
    assert stored(bucket) == []


def test_put_goes_on_after_a_file_that_fails_lists_it_and_stops_after_five_in_a_row(
    run: Run, api: FakeApi, bucket: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexes_the_bucket(api, bucket)
    upload, tries = Bucket.upload, []

    def failing(self: Bucket, path: Path, key: str, *rest: Any) -> str:
        tries.append(key)
        if key in {"b.pdf", "c.pdf"} or key[0] == "0":
            raise Failure(f"cannot upload {path}: AccessDenied")
        return upload(self, path, key, *rest)

    monkeypatch.setattr(Bucket, "upload", failing)
    files = [folder_of(tmp_path, f"{name}.pdf") / f"{name}.pdf" for name in "abcd"]
    result = run("put", *files, "--json", api=api)
    assert list(statuses(result.stdout).values()) == ["INDEXED", "NOT UPLOADED", "NOT UPLOADED", "INDEXED"]
    assert all(text in result.stderr for text in ("2 of 4 files were not uploaded", "AccessDenied"))
    tries.clear()
    result = run("put", folder_of(tmp_path, *numbered(40)), "--json", api=api)
    assert (result.exit_code, len(tries) < 20) == (1, True), result.output


def test_many_documents_are_counted_and_only_those_with_a_problem_listed(
    run: Run, bucket: S3Client, tmp_path: Path
) -> None:
    result = run("put", folder_of(tmp_path, *numbered(101)), "--no-wait", "--bucket", BUCKET)
    assert (result.stdout, len(stored(bucket))) == ("101 PENDING\n", 101), result.output


@pytest.mark.parametrize("command", ["put", "sync"])
def test_ctrl_c_ends_the_uploads_in_progress_and_counts_those_that_are_done(
    run: Run, bucket: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def upload(real: Bucket, path: Path, key: str, on_bytes: Callable[[int], None], mark: str) -> str:
        while path.name == "002.pdf":
            on_bytes(0)
        if path.name == "001.pdf":
            raise KeyboardInterrupt
        return send(real, path, key, on_bytes, mark)

    send = Bucket.upload
    monkeypatch.setattr(Bucket, "upload", upload)
    result = run(command, folder_of(tmp_path, *numbered(3)), "--no-wait", "--bucket", BUCKET)
    assert (result.exit_code, stored(bucket)) == (130, ["000.pdf"])
    assert "stopped: at least 1 of 3 files are uploaded" in result.stderr


# --- the wait ---


def test_put_waits_for_the_version_it_uploaded_and_not_for_an_older_one(
    run: Run, api: FakeApi, bucket: S3Client, pdf: Path
) -> None:
    def report(key: str) -> None:
        old = {"document": key, "status": "INDEXED", "version": "an older one", "pages": 1}
        pending = old | {"status": "PENDING", "version": newest(bucket, key), "pages": 9, "pages_done": 4}
        done = pending | {"status": "INDEXED", "pages_done": 9}
        api.documents.setdefault(key, [old, old, old, pending, pending, done])

    api.on_document = report
    result = run("put", pdf, api=api)
    assert result.exit_code == 0, result.stderr
    assert [path for _, path, _, _ in api.requests] == ["/v1/health", *["/v1/documents/report.pdf"] * 6]
    assert "INDEXED" in result.stdout


@pytest.mark.parametrize("count", [1, 12])
def test_put_follows_keys_that_another_client_replaces_or_deletes(
    run: Run, api: FakeApi, bucket: S3Client, tmp_path: Path, count: int
) -> None:
    changed = False

    def change(*_: object) -> None:
        nonlocal changed
        if not changed:
            bucket.put_object(Bucket=BUCKET, Key="000.pdf", Body=b"%PDF-1.4 newer")
            bucket.delete_object(Bucket=BUCKET, Key="011.pdf")
            changed = True
        for key in stored(bucket):
            api.documents[key] = [{"document": key, "status": "INDEXED", "version": newest(bucket, key)}]

    api.on_document = change
    result = run("put", folder_of(tmp_path, *numbered(count)), "--json", api=api)
    assert result.exit_code == 0, result.stderr
    expected = dict.fromkeys(numbered(count), "INDEXED")
    assert statuses(result.stdout) == expected | ({"011.pdf": "DELETED"} if count > 1 else {})


@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "EMPTY"])
def test_put_exits_3_when_a_document_is_not_indexed(
    run: Run, status: str, api: FakeApi, bucket: S3Client, pdf: Path
) -> None:
    indexes_the_bucket(api, bucket, status)
    result = run("put", pdf, api=api)
    assert (result.exit_code, status in result.stdout) == (3, True)


def test_put_polls_less_often_while_nothing_changes_and_then_gives_up(
    run: Run, api: FakeApi, bucket: S3Client, pdf: Path, clock: Clock
) -> None:
    result = run("put", pdf, api=api)
    assert result.exit_code == 1
    assert "no progress for 30" in result.stderr
    assert "report.pdf" in result.stderr
    assert sum(path.startswith("/v1/documents/") for _, path, _, _ in api.requests) <= 300 / 5 + 10
    assert clock.now >= 300


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_after_the_time_that_it_names(
    run: Run, api: FakeApi, bucket: S3Client, pdf: Path, clock: Clock, status: int
) -> None:
    indexes_the_bucket(api, bucket)
    api.refusals = [(status, {"retry-after": "7"})] * 20
    assert run("put", pdf, api=api).exit_code == 0
    assert clock.now == pytest.approx(20 * 7)


# --- sync ---


# Kills the program before or after the upload or removal of this number.
KILLED = """
import itertools, os, signal, sys
from docwell.cli.app import app
from docwell.cli.remote import Bucket
steps, killed_at = itertools.count(), int(sys.argv.pop(1))
def killing(method):
    def step(*arguments):
        for after in (False, True):
            result = method(*arguments) if after else None
            if next(steps) == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return result
    return step
Bucket.upload, Bucket.delete = killing(Bucket.upload), killing(Bucket.delete)
app()
"""


@pytest.fixture
def server(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """Return the client of an S3 server, which outlives the program."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.get_host_and_port()[1]}")
    s3_backends.reset()
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    server.stop()


@pytest.mark.parametrize("killed_at", [0, 1, 4, 5, 7, 9])
def test_a_sync_that_is_killed_anywhere_goes_on_and_removes_nothing_of_others(
    run: Run, server: S3Client, tmp_path: Path, killed_at: int
) -> None:
    fixed = ("--collection", "c", "--delete", "--yes", "--no-wait", "--bucket", BUCKET)

    def sync(*options: str) -> Result:
        return run("sync", folder, *fixed, *options)

    folder = folder_of(tmp_path, "a.pdf", "b/c.pdf", "b/d.txt", "e.pdf", "README.md")
    (folder / ".docwellignore").write_text("*.md\n!*/README.md")
    server.put_object(Bucket=BUCKET, Key="c/theirs.pdf", Body=b"1")
    planned = sync("--dry-run", "--json")
    assert ([*statuses(planned.stdout).values()], "4 to upload" in planned.stderr) == (["PENDING"] * 4, True)
    assert (stored(server), (folder / ".docwell-sync").exists()) == (["c/theirs.pdf"], False)
    assert sync().exit_code == 0
    assert run("sync", folder, "--collection", "c/x", "--no-wait", "--bucket", BUCKET).exit_code == 0
    server.put_object(Bucket=BUCKET, Key="c/e.pdf", Body=b"replaced by another client")
    # A copy or move, also through the API, keeps the metadata.
    server.copy_object(Bucket=BUCKET, Key="c/copy.pdf", CopySource=f"{BUCKET}/c/a.pdf")
    for name in ("a.pdf", "e.pdf", "b/c.pdf"):
        (folder / name).unlink()
    folder_of(tmp_path, "f.pdf", "g.pdf")
    (folder / "b" / "d.txt").write_text("changed")

    killed = [sys.executable, "-c", KILLED, str(killed_at), "sync", str(folder), *fixed]
    assert subprocess.run(killed, check=False).returncode == -signal.SIGKILL
    assert {"c/theirs.pdf", "c/copy.pdf", "c/e.pdf", "c/x/a.pdf", "c/b/d.txt"} <= set(stored(server))
    assert sync().exit_code == 0
    assert stored(server)[:3] == ["c/b/d.txt", "c/copy.pdf", "c/e.pdf"]
    assert stored(server)[3:6] == ["c/f.pdf", "c/g.pdf", "c/theirs.pdf"]
    assert len(stored(server)) == 10  # the other collection of the same folder stays
    assert server.get_object(Bucket=BUCKET, Key="c/b/d.txt")["Body"].read() == b"changed"
    assert "0 to upload, 0 to remove" in sync().stdout


def test_nothing_is_removed_after_an_unreadable_folder_or_a_failed_upload(
    run: Run, bucket: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path, "a/b.pdf", "c.pdf")
    command = ("sync", folder, "--delete", "--yes", "--no-wait", "--bucket", BUCKET)
    assert run(*command).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", Mock(side_effect=PermissionError(13, "denied", str(folder / "a"))))
        assert "cannot read the folder" in run(*command).stderr
    (folder / "c.pdf").rename(folder / "d.pdf")
    monkeypatch.setattr(Bucket, "upload", Mock(side_effect=Failure("down")))
    assert (run(*command).exit_code, stored(bucket)) == (1, ["a/b.pdf", "c.pdf"])


def test_a_watch_scans_the_folder_and_lists_the_bucket_only_after_a_change(
    run: Run, bucket: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    folder, lists, below = folder_of(tmp_path, "a.pdf", "Makefile"), list[float](), Bucket.below

    def listing(*place: Any) -> Any:
        lists.append(clock.now)
        return below(*place)

    def sleep(seconds: float) -> None:
        clock.now += seconds
        if clock.now == 50:
            (folder / "b.pdf").write_bytes(b"new")
        if clock.now > 1000:
            raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", sleep)
    monkeypatch.setattr(Bucket, "below", listing)
    result = run("sync", folder, "--watch", "--bucket", BUCKET)
    assert (result.exit_code, stored(bucket), lists) == (130, ["a.pdf", "b.pdf"], [0.0, 50.0, 955.0])
    assert "left out 1 (" in result.stderr
    assert "stopped: at least 2 of 2 files are uploaded" in result.stderr


# --- status and rm ---


def test_ls_follows_the_cursor_to_the_last_page_and_sorts(run: Run, api: FakeApi) -> None:
    first = {"document": "a/x.pdf", "status": "INDEXED", "pages": 3, "size": 2_000_000, "updated_at": 10.0}
    second = {"document": "a.pdf", "status": "REJECTED", "reason": "encrypted", "detail": "needs a password"}
    api.pages = [{"documents": [first], "cursor": "1"}, {"documents": [second], "cursor": None}]
    result = run("ls", api=api)
    assert all(text in result.stdout for text in ("encrypted: needs a password", "2.0 MB", "1970-01-01"))
    assert json.loads(run("ls", "--json", api=api).stdout) == {"documents": [second, first]}
    for field in ("date", "size", "status"):
        assert json.loads(run("ls", "--sort", field, "--json", api=api).stdout) == {"documents": [first, second]}


def test_ls_filters_and_status_counts(run: Run, api: FakeApi) -> None:
    api.pages = [{"documents": [], "cursor": None}]
    result = run("ls", "c/2026/", "--status", "rejected", api=api)
    assert (result.stdout, "docwell put" in result.stderr) == ("", True)
    assert api.requests[-1][1] == "/v1/documents?prefix=c%2F2026%2F&status=REJECTED"
    api.pages = [{"documents": [{"document": "a", "status": "EMPTY"}] * 2}]
    assert json.loads(run("status", "--json", api=api).stdout) == {"documents": 2, "EMPTY": 2}
    api.others["/v1/status"] = {"model": "m", "model_host": "asleep", "asleep_until": None}
    assert run("status", api=api).stdout.split()[4:] == ["model", "m", "model", "host", "asleep"]


def test_status_of_a_key_names_the_unreadable_pages_by_reason(run: Run, api: FakeApi) -> None:
    lost = {"too_slow": "3,7-9", "reader_crashed": "12"}
    api.documents["a.pdf"] = [{"document": "a.pdf", "status": "INDEXED", "unreadable_pages": lost}]
    assert "unreadable pages  too_slow: 3,7-9; reader_crashed: 12" in run("status", "a.pdf", api=api).stdout
    result = run("status", "nothing.pdf", api=api)
    assert (result.exit_code, "there is no document 'nothing.pdf'" in result.stderr) == (1, True)


def test_rm_removes_keys_and_folders_all_or_none_and_asks(run: Run, bucket: S3Client) -> None:
    here = ("--no-wait", "--bucket", BUCKET)
    for key in ("é.pdf", "a/", "a/1\x1b\u202e.pdf", "a/b/2.pdf", "ab.pdf"):
        bucket.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    result = run("rm", "é.pdf", "missing.pdf", "--yes", *here)
    assert (result.exit_code, "missing.pdf" in result.stderr, len(stored(bucket))) == (1, True, 5)
    result = run("rm", "a/1\x1b\u202e.pdf", *here)
    assert (result.exit_code, "--yes" in result.stderr, len(stored(bucket))) == (1, True, 5)
    assert "Remove a/1.pdf?" in result.stderr
    assert run("rm", "a/", "é.pdf", "é.pdf", "--yes", *here).exit_code == 0
    assert stored(bucket) == ["ab.pdf"]


def test_rm_waits_until_the_document_answers_no_more(run: Run, api: FakeApi, bucket: S3Client) -> None:
    bucket.put_object(Bucket=BUCKET, Key="a.pdf", Body=b"x")
    live = {"document": "a.pdf", "status": "INDEXED", "version": newest(bucket, "a.pdf")}
    api.documents["a.pdf"] = [live, live, live | {"status": "DELETED", "version": None}]
    result = run("rm", "a.pdf", "--yes", api=api)
    assert (result.exit_code, "DELETED" in result.stdout) == (0, True), result.output
    assert sum(path.endswith("a.pdf") for _, path, _, _ in api.requests) == 3
