"""`docwell redrive | reconcile | reindex | restore`, on moto's bucket, a fake API and a fake function."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from docwell.cli import operations
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import BUCKET, FakeApi, serving
from tests.unit.cli.test_settings import stack_file

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
from dataclasses import replace

from typer.testing import CliRunner

from docwell.cli import erase
from docwell.cli.app import app
from docwell.cli.erase import Erased, Erasure
from docwell.cli.settings import Settings
from infra.container.sam import ROOT
from tests.unit.cases import rows
from tests.unit.infra.templates import TEMPLATES, content

RECONCILE = {"action": "reconcile", "dry_run": False, "force": False}


class FakeOperations(FakeApi):
    """The routes of operators, over dead letters that are redriven 100 at a time."""

    waiting = 130

    def respond(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        if method == "GET":
            failed = [{"document": "b.pdf", "status": "FAILED", "reason": "internal_error"}]
            return 200, {"dead_letters": {"waiting": self.waiting, "failed": failed, "more": False}}
        assert path == "/v1/operations/redrive"
        moved = min(self.waiting, 100)
        self.waiting -= moved
        return 200, {"redriven": moved, "waiting": self.waiting}


def test_a_redrive_sends_all_dead_letters_once_a_dry_run_none_and_names_why_they_are_unknown(run: Run) -> None:
    api = FakeOperations()
    with serving(api):
        for options, redriven, waiting in ((["--dry-run"], 0, 130), ([], 130, 0), ([], 0, 0)):
            report = json.loads(run("redrive", "--json", *options, api=api).stdout)
            assert (report["redriven"], report["waiting"]) == (redriven, waiting)
        shown = run("redrive", api=api).stdout
    assert all(text in shown for text in ("b.pdf", "internal_error", "messages redriven: 0"))
    api.others["/v1/operations"] = {"dead_letters": None, "unknown": {"dead_letters": "sqs is down"}}
    with serving(api):
        assert "sqs is down" in run("redrive", api=api).stderr


# --- the reconcile function ---


class FakeFunction(FakeApi):
    """Lambda's API. Each call takes the next answer; the last one stays."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[dict[str, Any]] = []

    def respond(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        if urlsplit(path).path != "/2015-03-31/functions/the-function/invocations":
            return super().respond(method, path)
        return 200, self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def events(self) -> list[Any]:
        return [body for _, _, body, _ in self.requests]


@pytest.fixture
def function(credentials: None, tmp_path: Path) -> Iterator[FakeFunction]:
    fake = FakeFunction()
    with serving(fake):
        (tmp_path / "work" / "docwell.toml").write_text(
            f'endpoint = "http://unused"\nfunctions_endpoint = "{fake.endpoint}"\n'
            'reconcile_function = "the-function"\n'
        )
        yield fake


def report(**changes: Any) -> dict[str, Any]:
    pipeline = {"pipeline": "f1", "phase": "done", "keys": 2, "rows": 2, "chunks": 9, "drift": {"lost": 0}}
    pipeline |= {"sent": 0, "waiting": None, "found": [], "documents": {"PENDING": 0}} | changes
    return {"complete": pipeline["phase"] == "done", "pipelines": [pipeline]}


def test_reconcile_goes_on_until_the_pass_is_complete(run: Run, function: FakeFunction) -> None:
    function.answers = [
        report(phase="ledger", sent=1, found=[["missing", "a.pdf"]]),
        report(sent=2, found=[["lost", "b.pdf"]], drift={"lost": 2, "missing": 1}),
    ]
    result = run("reconcile")
    assert result.exit_code == 0, result.stderr
    for text in ("missing  a.pdf", "2 lost, 1 missing", "documents sent to ingest: 3"):
        assert text in result.stdout
    assert function.events == [RECONCILE] * 2


@pytest.mark.parametrize(("changes", "exit_code", "text", "calls"), rows(__file__, "reconcile_answers"))
def test_reconcile_says_how_far_it_came(
    run: Run, function: FakeFunction, changes: dict[str, Any], exit_code: int, text: str, calls: int
) -> None:
    function.answers = [report(**changes)]
    result = run("reconcile", "--dry-run")
    assert (result.exit_code, text in result.output) == (exit_code, True)
    assert function.events == [RECONCILE | {"dry_run": True}] * calls


def test_reindex_shows_the_status_by_default_and_a_switch_that_was_not_made_is_an_error(
    run: Run, function: FakeFunction
) -> None:
    function.answers = [{"active": "f1", "building": "f2", "keys": 10, "settled": 4, "complete": False}]
    result = run("reindex")
    assert function.events == [{"action": "reindex", "step": "status", "force": False}]
    assert "settled   4" in result.stdout
    function.answers = [{"active": "f1", "building": "f2", "complete": False, "switched": False}]
    result = run("reindex", "switch")
    assert (result.exit_code, "not switched" in result.stderr) == (1, True)


@pytest.mark.parametrize("line", ["OCR is installed", "no OCR", ""])
def test_ocr_on_follows_the_stack_and_the_scans_and_ends_no_process_that_cannot_install(
    run: Run, function: FakeFunction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    function.answers = [report(ocr="off")]
    assert "Index =" in run("ocr", "on", "--bucket", BUCKET, "--endpoint", function.endpoint).stderr
    Path("docwell.toml").unlink()
    (log := tmp_path / "logs" / "ocr.log").parent.mkdir()
    log.write_text("of before: no OCR, OCR is installed\n")
    append = f"import signal\nsignal.signal(signal.SIGURG, lambda *_: open({str(log)!r}, 'a').write({line!r}))"
    code = f"import time\n{append if line else ''}\nprint(1, flush=True)\nwhile True: time.sleep(0.1)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as stack:
        next(iter(stack.stdout or ()))
        address = {"gateway": function.endpoint, "reconcile_function": "the-function", "data": str(tmp_path)}
        stack_file(tmp_path, stack.pid, **address)
        scan = {"document": "scan.pdf", "status": "EMPTY", "version": "v", "updated_at": 1}
        function.documents = {"scan.pdf": [scan], "text.pdf": [scan | {"document": "text.pdf"}]}
        read = [scan | {"status": "INDEXED", "updated_at": 2}]
        function.on_document = lambda key: function.documents.update({key: read})
        function.answers = [report(found=[["stale", "scan.pdf"]])]
        monkeypatch.setattr(operations, "_PAUSE_S", 0.1)
        monkeypatch.setattr(operations, "_ANSWER_S", 0.5)
        result = run("ocr", "on")
        ended = stack.poll()
        stack.kill()
    outcome = (result.exit_code, "did not install OCR" in result.stderr, "INDEXED" in result.stdout, ended)
    assert outcome == ((0, False, True, None) if line == "OCR is installed" else (1, True, False, None))
    assert "text.pdf" not in result.stdout


# --- restore ---


@pytest.fixture
def deleted(bucket: S3Client) -> S3Client:
    """A bucket whose documents were deleted, one of them twice, but for one that was uploaded again."""
    for key in ("a.pdf", "b.pdf", "other/c.pdf", "again.pdf"):
        bucket.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
        bucket.delete_object(Bucket=BUCKET, Key=key)
    bucket.delete_object(Bucket=BUCKET, Key="b.pdf")
    bucket.put_object(Bucket=BUCKET, Key="again.pdf", Body=b"new")
    return bucket


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events that the reconcile function gets."""
    sent: list[dict[str, Any]] = []

    def repeat(_: object, event: dict[str, Any], *, until: str) -> dict[str, Any]:
        sent.append(event)
        return {until: True, "pipelines": [], "found": [], "sent": 0}

    monkeypatch.setenv("DOCWELL_RECONCILE_FUNCTION", "reconcile")
    monkeypatch.setattr(operations.ReconcileFunction, "repeat", repeat)
    return sent


def documents_in(bucket: S3Client) -> dict[str, bytes]:
    rows = bucket.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {row["Key"]: bucket.get_object(Bucket=BUCKET, Key=row["Key"])["Body"].read() for row in rows}


def restore(run: Run, *arguments: str) -> Any:
    since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    return run("restore", "--since", since, *arguments, "--bucket", BUCKET)


def test_everything_comes_back_and_a_newer_upload_stays(run: Run, deleted: S3Client, events: list[Any]) -> None:
    result = restore(run)
    assert result.exit_code == 0, result.output
    keys = ("a.pdf", "b.pdf", "other/c.pdf")
    assert documents_in(deleted) == {**{key: key.encode() for key in keys}, "again.pdf": b"new"}
    assert "documents undeleted: 3" in result.output
    assert events == [RECONCILE | {"force": True}]


def test_a_prefix_limits_it_and_a_dry_run_changes_nothing(run: Run, deleted: S3Client, events: list[Any]) -> None:
    assert "documents to undelete: 1" in restore(run, "--prefix", "other/", "--dry-run").output
    assert (list(documents_in(deleted)), events) == (["again.pdf"], [])
    restore(run, "--prefix", "other/")
    assert list(documents_in(deleted)) == ["again.pdf", "other/c.pdf"]


# --- erase ---


ERASED = Erased("2026-11-26T12:00:00+00:00", ["a.pdf"], erased={"receipts": 0})


class FakeErasure:
    """Erases one document, and notes it."""

    erased = False

    def __init__(self, *_: object) -> None:
        type(self).erased = False

    def survey(self) -> Erased:
        return replace(ERASED)

    def run(self, report: Erased) -> None:
        type(self).erased, report.erased = True, {"receipts": 1}


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "Erasure", FakeErasure)


def test_the_report_is_complete_and_a_dry_run_erases_nothing(run: Run) -> None:
    dry = json.loads(run("erase", "a.pdf", "--dry-run", "--json").stdout)
    assert (dry["erased"]["receipts"], dry["dry_run"], FakeErasure.erased) == (0, True, False)
    report = json.loads(run("erase", "a.pdf", "--yes", "--json").stdout)
    assert (report["erased"]["receipts"], report["dry_run"], FakeErasure.erased) == (1, False, True)


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["for people", "json"])
def test_the_question_and_its_documents_are_no_part_of_the_output(run: Run, flags: tuple[str, ...]) -> None:
    arguments = ["erase", "a.pdf", *flags]
    confirmed = CliRunner().invoke(app, arguments, input="a.pdf\n")
    assert (confirmed.exit_code, FakeErasure.erased) == (0, True)
    assert "documents  a.pdf" in confirmed.stderr
    assert "Type a.pdf to erase" in confirmed.stderr
    assert (
        confirmed.stdout.removeprefix(" a.pdf\n") == run(*arguments, "--yes").stdout
    )  # the runner shows the input


def test_the_page_names_the_days_of_the_templates() -> None:
    snapshots = content(ROOT / "infra/chroma.yaml")["Resources"]["Snapshots"]["Properties"]["PolicyDetails"]
    # A snapshot expires when the last of these is made after it, perhaps an hour late.
    days = snapshots["Schedules"][0]["RetainRule"]["Count"] + 1
    assert f"expire within {days} days" in (ROOT / "docs/operate/retention.md").read_text()


STORE = re.compile(
    r"AWS::.*::(?!Route)(\w*(Table|Bucket|Queue|Volume|FileSystem|Cluster|Stream|Topic|Instance|Archive))"
)
WRITE = {*rows(__file__, "write_calls")}


def test_each_store_of_the_templates_and_each_module_that_writes_is_erased_or_says_why_not() -> None:
    resources = [item for path in TEMPLATES for item in content(path)["Resources"].items()]
    stores = {name for name, resource in resources if STORE.fullmatch(resource["Type"])} - {"AlarmTopic"}
    package = ROOT / "layers/docwell/python/docwell"
    for path in package.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        if WRITE & {getattr(node, "attr", getattr(node, "id", "")) for node in nodes}:
            stores.add(path.relative_to(package).as_posix())
    registry = dict(rows(__file__, "stores"))
    assert stores == registry.keys()
    steps = Erasure(Settings(bucket="b", reconcile_function="f", region="us-east-1"), "a.pdf", None).stores
    assert steps.keys() <= {*registry.values(), "chroma_file"}
