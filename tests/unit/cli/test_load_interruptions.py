"""`docwell load` goes on after any interruption, and loads each document once (moto)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import wait
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from docwell.adapters import s3
from docwell.adapters.s3 import S3Copier
from docwell.adapters.sqs import SqsTaskQueue
from docwell.bucket_ports import StoredObject
from docwell.cli import load
from docwell.cli.loading import run as run_module
from docwell.cli.loading.state import LoadState
from docwell.errors import Unavailable
from tests.unit.cli.conftest import Run
from tests.unit.cli.load_archive import (
    KEYS,
    SOURCE,
    WHERE,
    archive,
    omissions,
    put,
    queue,
    quick,
    stored,
    versions,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["archive", "queue", "quick"]


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
    (s3.S3Listing, "page"),
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


def test_ctrl_c_stores_the_place_and_says_how_to_go_on(
    run: Run, archive: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = S3Copier.copy
    copied: list[str] = []
    pressed, seen = Event(), Event()

    def copy(self: S3Copier, one: StoredObject, key: str) -> None:
        real(self, one, key)
        copied.append(key)
        if len(copied) == 12:
            pressed.set()
            seen.wait(10)

    def interrupted(*arguments: Any) -> Any:
        """Wait as the main thread does. A real signal would also reach pytest's own process between two waits."""
        while not pressed.is_set():
            done, left = wait(*arguments)
            if not left:
                return done, left
        seen.set()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(S3Copier, "copy", copy)
        patched.setattr(run_module, "wait", interrupted)
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
