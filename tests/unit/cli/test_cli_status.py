"""`docwell status`, `rm`, `version` and the help."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import BUCKET, FakeApi

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_status_follows_the_cursor_to_the_last_page(run: Run, api: FakeApi) -> None:
    first = {"document": "a.pdf", "status": "INDEXED", "pages": 3}
    second = {"document": "b.pdf", "status": "REJECTED", "reason": "encrypted", "detail": "needs a password"}
    api.pages = [{"documents": [first], "cursor": "1"}, {"documents": [second], "cursor": None}]
    result = run("status", api=api)
    assert "a.pdf" in result.stdout
    assert "encrypted: needs a password" in result.stdout
    assert "\x1b" not in result.stdout
    assert json.loads(run("status", "--json", api=api).stdout) == {"documents": [first, second]}


def test_status_passes_its_filters_on(run: Run, api: FakeApi) -> None:
    api.pages = [{"documents": [], "cursor": None}]
    assert run("status", "--collection", "c", "--status", "rejected", api=api).exit_code == 0
    assert api.requests[-1][1] == "/v1/documents?collection=c&status=REJECTED"


def test_status_names_the_state_of_the_model_host_where_the_api_tells_it(run: Run, api: FakeApi) -> None:
    api.pages = [{"documents": [], "cursor": None}]
    assert "model host" not in run("status", api=api).stdout
    api.model_host = "asleep"
    assert run("status", api=api).stdout == "model host: asleep\n"
    assert "model_host" not in run("status", "--json", api=api).stdout
    api.asleep_until = "2026-11-28T07:00:00Z"
    assert run("status", api=api).stdout == "model host: asleep until 2026-11-28T07:00:00Z\n"


def test_status_of_a_key_names_the_pages_that_cannot_be_read_by_reason(run: Run, api: FakeApi) -> None:
    lost = {"too_slow": "3,7-9", "reader_crashed": "12"}
    api.documents["a.pdf"] = [{"document": "a.pdf", "status": "INDEXED", "unreadable_pages": lost}]
    assert "unreadable pages  too_slow: 3,7-9; reader_crashed: 12" in run("status", "a.pdf", api=api).stdout


def test_status_of_an_unknown_key_exits_1(run: Run, api: FakeApi) -> None:
    result = run("status", "nothing.pdf", api=api)
    assert result.exit_code == 1
    assert "there is no document 'nothing.pdf'" in result.stderr


def test_a_watch_ends_when_nothing_is_pending(run: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docwell.cli.documents._WATCH_S", 0.01)
    pending = {"document": "a.pdf", "status": "PENDING", "pages": 9, "pages_done": 1}
    api.documents["a.pdf"] = [pending, pending, pending | {"status": "INDEXED"}]
    result = run("status", "a.pdf", "--watch", "--json", api=api)
    assert json.loads(result.stdout)["status"] == "INDEXED"


def test_rm_removes_all_keys_or_none(run: Run, bucket: S3Client) -> None:
    bucket.put_object(Bucket=BUCKET, Key="é.pdf", Body=b"x")
    result = run("rm", "é.pdf", "missing.pdf", "--bucket", BUCKET)
    assert result.exit_code == 1
    assert "missing.pdf" in result.stderr
    assert run("rm", "é.pdf", "--bucket", BUCKET).exit_code == 0
    assert bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_help_lists_the_exit_codes(run: Run) -> None:
    result = run("--help")
    assert "3  put: a document ended REJECTED, FAILED or EMPTY" in result.stdout
    assert run("version").stdout.startswith("docwell ")
