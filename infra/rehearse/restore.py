"""Destroy Chroma's volume, the ledger and the bucket's content on a local stack; restoring each loses nothing.

The chunks in the index before and after must be the same: a chunk's id names its document's version.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.config import IngestSettings
from docwell.errors import DocwellError
from docwell.models import Status
from docwell.wiring.pipelines import pipelines
from docwell.wiring.stores import server_auth
from infra.local.console import StackConsole
from infra.local.demo import DemoFailed
from infra.local.names import HOST, LEDGER_TABLE
from infra.local.stack import Stack, StackOptions, base_environment, own_settings, plan
from infra.local.supervisor import Supervisor
from infra.release.restore import restore_table
from infra.report import Report

KEYS = ("handbooks/a.pdf", "handbooks/b.pdf", "c.pdf", "reports/d.pdf")
_PASSES = 6
_TIMEOUT_S = 300.0
_PAUSE_S = 0.5
_PAGE = 1000


@dataclass(frozen=True)
class Place:
    """A running stack without a model host, and its index."""

    stack: Stack
    folder: Path
    index: ChromaIndex

    def put(self, key: str, text: str) -> None:
        """Upload a PDF of one page."""
        self.stack.client("s3").put_object(Bucket=self.stack.bucket, Key=key, Body=_pdf(text))

    def delete(self, key: str) -> None:
        """Delete a document, as a user does."""
        self.stack.client("s3").delete_object(Bucket=self.stack.bucket, Key=key)

    def chunks(self) -> dict[str, str]:
        """Return the document of each chunk in the index."""
        return {
            id_: document
            for name in self.index.collections()
            for id_, document, _ in self.index.page(name, 0, _PAGE)
        }

    def documents(self) -> dict[str, str]:
        """Return the status of each document, deleted ones left out."""
        rows = self.stack.client("dynamodb").scan(TableName=LEDGER_TABLE)["Items"]
        status = {row["document"]["S"]: row["status"]["S"] for row in rows if "status" in row}
        return {key: value for key, value in status.items() if value != Status.DELETED}

    def docwell(self, *arguments: str) -> str:
        """Run a command of `docwell`; return its output. Raises `DemoFailed`."""
        environment = base_environment({"DOCWELL_DATA": str(self.folder)})
        command = [str(Path(sys.executable).with_name("docwell")), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoFailed(f"docwell {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until it is so, whatever fails meanwhile. Raises `DemoFailed`."""
        deadline = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline:
            with suppress(DocwellError):
                if ready():
                    return
            time.sleep(_PAUSE_S)
        raise DemoFailed(f"after {_TIMEOUT_S:.0f} s not yet: {what}")

    def settle(self) -> None:
        """Reconcile until a pass finds nothing, as the runbook says. Raises `DemoFailed`."""
        for _ in range(_PASSES):
            time.sleep(_PAUSE_S)  # an upload's event takes milliseconds
            self.wait(self.idle, "ingest is idle")
            (one,) = json.loads(self.docwell("reconcile", "--force", "--json"))["pipelines"]
            if not any(one["drift"].values()) and not one["documents"][Status.PENDING]:
                return
        raise DemoFailed(f"{_PASSES} passes of reconcile did not repair everything")

    def idle(self) -> bool:
        """Whether no message waits or is at work."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        sqs = self.stack.client("sqs")
        url = sqs.get_queue_url(QueueName=self.stack.queue)["QueueUrl"]
        return not any(
            map(int, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values())
        )


def rehearse(report: Report, folder: Path) -> None:
    """Rehearse each restore on one stack."""
    with _place(folder) as place:
        for number, key in enumerate(KEYS):
            place.put(key, f"Pump {number} starts at {number + 2} bar.")
        place.settle()
        _rehearse(report, place, "the zone is gone, a snapshot is left", _lose_volume)
        _rehearse(report, place, "the ledger is gone, an old copy is left", _lose_ledger)
        _rehearse(report, place, "the ledger is gone, nothing is left", _empty_ledger)
        _rehearse(report, place, "the bucket's content was deleted", _delete_content)


def _rehearse(report: Report, place: Place, name: str, lose: Callable[[Place], Callable[[], None]]) -> None:
    """Take a copy, change documents, lose a part, restore it, and compare."""
    restore = lose(place)
    before = (place.chunks(), place.documents())
    begun = time.monotonic()
    restore()
    place.settle()
    report.add(f"{name}: until reconcile finds nothing", time.monotonic() - begun, "s")
    after = (place.chunks(), place.documents())
    report.add(f"{name}: chunks lost", len(before[0].keys() - after[0].keys()), "chunks", "== 0")
    report.add(f"{name}: chunks stale or duplicate", len(after[0].keys() - before[0].keys()), "chunks", "== 0")
    report.add(f"{name}: documents in another state", len(dict(before[1].items() ^ after[1].items())), "", "== 0")


def _change(place: Place) -> None:
    """Add, replace and delete a document, and wait."""
    moment = time.monotonic_ns()
    place.put(f"new/{moment}.pdf", f"Valve {moment} closes.")
    place.put(KEYS[0], f"Pump 0 starts at {moment} bar.")
    place.delete(KEYS[1])
    place.settle()
    place.put(KEYS[1], f"Pump 1 is back after {moment} s.")
    place.settle()


def _lose_volume(place: Place) -> Callable[[], None]:
    volume, snapshot = place.folder / "chroma", place.folder / "snapshot"
    shutil.copytree(volume, snapshot)
    _change(place)

    def restore() -> None:
        volume.rename(place.folder / "lost")
        snapshot.rename(volume)
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if "infra.local.chroma_server" in process.cmdline():
                    for one in (*process.children(recursive=True), process):
                        one.kill()
        place.wait(lambda: bool(place.index.collections()), "Chroma answers")

    return restore


def _lose_ledger(place: Place) -> Callable[[], None]:
    restore_table(place.stack.client("dynamodb"), LEDGER_TABLE, "restored", None)
    _change(place)

    def restore() -> None:
        # The local stack's table keeps its name: in AWS, the parameter RestoredTables puts the copy in place.
        _empty_ledger(place)()
        client = place.stack.client("dynamodb")
        for row in client.scan(TableName="restored")["Items"]:
            client.put_item(TableName=LEDGER_TABLE, Item=row)

    return restore


def _empty_ledger(place: Place) -> Callable[[], None]:
    def lose() -> None:
        client = place.stack.client("dynamodb")
        for row in client.scan(TableName=LEDGER_TABLE)["Items"]:
            client.delete_item(TableName=LEDGER_TABLE, Key={name: row[name] for name in ("document", "pipeline")})

    return lose


def _delete_content(place: Place) -> Callable[[], None]:
    def restore() -> None:
        since = datetime.now(UTC).isoformat()
        time.sleep(1.1)  # S3's times are whole seconds
        for key in place.documents():
            place.delete(key)
        place.wait(lambda: place.idle() and not place.chunks(), "the index is empty")
        place.docwell("restore", "--since", since)

    return restore


@contextmanager
def _place(folder: Path) -> Iterator[Place]:
    """Start a stack in the folder, without a model host. Raises `StackFailed`."""
    options = StackOptions(folder, port=0, reconcile_every_s=0)
    stack, parts = plan(options, f"http://{HOST}:9", lambda: folder)
    supervisor = Supervisor(parts, StackConsole(folder / "logs", silent=True))
    supervisor.start()
    threading.Thread(target=supervisor.watch, daemon=True).start()
    try:
        stack.write()
        settings = IngestSettings.read(**own_settings(options))
        fingerprint = next(iter(pipelines(settings)))
        names: dict[str, Any] = {"tenant": settings.chroma_tenant, "database": settings.chroma_database}
        auth = server_auth("chroma", stack.chroma_token, settings.chroma_header)
        server = ChromaServer(stack.chroma, auth=auth, **names)
        yield Place(stack, folder, ChromaIndex(server, Layout(fingerprint, settings.shards)))
    finally:
        supervisor.stop()


def _pdf(text: str) -> bytes:
    """Return a PDF of one page with one line of ASCII."""
    line = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    page = "/MediaBox [0 0 612 792] /Resources << /Font << /F1 5 0 R >> >>"
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /Contents 4 0 R {page} >>",
        f"<< /Length {len(line)} >>\nstream\n{line}\nendstream",
        font,
    )
    body, places = "%PDF-1.4\n", list[int]()
    for number, one in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{one}\nendobj\n"
    rows = "".join(f"{place:010} 00000 n \n" for place in places)
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}"
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}{table}{trailer}".encode()
