"""`docwell put` with a folder: which files it takes, under which keys, and what it says of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_a_folder_keeps_its_paths_and_other_files_stay_out(run: Run, bucket: S3Client, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("a.pdf", "deep/notes.txt", "deep/é 日本.PDF", "deep/tool.exe"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"%PDF-1.7")
    result = run("put", folder, "--no-wait", "--bucket", BUCKET, "--json")
    keys = [document["document"] for document in json.loads(result.stdout)["documents"]]
    assert keys == ["a.pdf", "deep/notes.txt", "deep/é 日本.PDF"]
    assert [item["Key"] for item in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]] == keys
    types = [bucket.head_object(Bucket=BUCKET, Key=key)["ContentType"] for key in keys]
    assert types == ["application/pdf", "text/plain", "application/pdf"]


def test_hidden_files_and_folders_of_a_folder_stay_out(run: Run, bucket: S3Client, tmp_path: Path) -> None:
    folder = tmp_path / ".papers"
    for name in ("a.pdf", "._a.pdf", ".git/info.txt", "b/.venv/lib/c.pdf"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"%PDF-1.7")
    result = run("put", folder, "--no-wait", "--bucket", BUCKET)
    assert [item["Key"] for item in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["a.pdf"]
    assert "left out 3 files, such as" in result.stderr
    assert "docwell takes no hidden files from a folder" in result.stderr
    assert run("put", folder / ".git", "--no-wait", "--bucket", BUCKET).exit_code == 0


def test_the_files_that_a_folder_leaves_out_are_named_by_their_suffix(
    run: Run, bucket: S3Client, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.pdf", "b.EXE", "c.exe", "d.exe", "Makefile"):
        (folder / name).write_bytes(b"%PDF-1.7")
    result = run("put", folder, "--no-wait", "--bucket", BUCKET)
    assert result.exit_code == 0
    first, second = (line for line in result.stderr.splitlines() if "left out" in line)
    assert f"left out {folder / 'Makefile'}: docwell takes no files without a suffix" in first
    assert f"left out 3 files, such as {folder / 'b.EXE'}: docwell takes no files with the suffix .exe" in second
    assert run("put", folder / "a.pdf", "--no-wait", "--bucket", BUCKET).stderr.count("left out") == 0
