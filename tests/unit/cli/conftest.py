"""Fixtures: an API, a bucket, a PDF, and a function that runs `docwell`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from docwell.cli import documents
from docwell.cli.app import app
from tests.unit.cli.fake_api import BUCKET, FakeApi, serving

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _nothing_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("DOCWELL_", "AWS_", "MLFLOW_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(documents, "_PAUSE_S", 0.001)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi()
    with serving(fake):
        yield fake


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def aws(credentials: None) -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture
def bucket(aws: None) -> S3Client:
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return client


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF-1.7\nnot much of one")
    return path


@pytest.fixture
def run() -> Run:
    """Return a function that runs `docwell`, with the connection flags of an API where one is given."""

    def docwell(*arguments: object, api: FakeApi | None = None) -> Result:
        where = ["--endpoint", api.endpoint, "--bucket", BUCKET] if api else []
        return CliRunner().invoke(app, [*map(str, arguments), *where])

    return docwell
