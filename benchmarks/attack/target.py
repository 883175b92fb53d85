"""The stack under attack: its API and bucket, its model host, and principals with quotas."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.doors import Doors, Reply, local_stack
from benchmarks.model_host import MODEL, ModelHost
from benchmarks.pdfs import pdf
from infra.local.stack import Stack

INDEXED_S = 120.0
# A call of the API or of the CLI takes seconds on a busy machine.
_TIMEOUT_S = 60.0


class Try(NamedTuple):
    """One attempt of an attack. It is a breach if it succeeded."""

    text: str
    breach: bool


Tries = Iterator[Try]


@dataclass
class Target:
    """A running stack whose answers are written by `host`. `short` asks for fewer repeats."""

    stack: Stack
    doors: Doors
    host: ModelHost
    short: bool = False
    _principals: int = field(default=0, init=False)

    def times(self, long: int, short: int) -> int:
        return short if self.short else long

    def index(self, key: str, content: bytes | list[str]) -> dict[str, Any]:
        """Upload a document and return its record at a final status."""
        body = pdf(content) if isinstance(content, list) else content
        return self.doors.settled(key, self.doors.put(key, body), INDEXED_S)

    def ask(self, question: str, **fields: Any) -> Reply:
        return self.doors.ask({"question": question, **fields})

    def client(self, **headers: str) -> httpx.Client:
        """Return a client of the API that sends these headers and no key unless they have one."""
        return httpx.Client(base_url=self.stack.gateway, headers=headers, timeout=_TIMEOUT_S, trust_env=False)

    def principal(self, *flags: str) -> tuple[str, str]:
        """Make a principal with the CLI. Return its id and its API key."""
        self._principals += 1
        added = json.loads(self._cli("principals", "add", f"attacker-{self._principals}", *flags, "--json"))
        # Wait: the gateway may have cached its keys a moment ago.
        time.sleep(1.2)
        return added["id"], added["api_key"]

    def tokens_today(self, principal: str) -> int:
        """Return the tokens charged to a principal today."""
        rows = json.loads(self._cli("principals", "list", "--json"))["principals"]
        return next(int(row["tokens_today"]) for row in rows if row["id"] == principal)

    def _cli(self, *arguments: str) -> str:
        """Run `docwell` on this stack and return its output. Raises `RuntimeError` when it fails."""
        done = self.cli_run(*arguments)
        if done.returncode:
            raise RuntimeError(f"docwell {' '.join(arguments[:2])}: {done.stderr.strip()}")
        return done.stdout

    def cli_run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `docwell` on this stack, whatever its exit status."""
        settings = ("DOCWELL_", "AWS_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
        return subprocess.run(
            [Path(sys.executable).with_name("docwell"), *arguments],
            cwd=Path(self.stack.data).parent,
            env=environment | {"COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )

    def logs(self) -> Iterator[tuple[Path, str]]:
        """Yield each log file of the stack with its text."""
        for path in sorted((Path(self.stack.data) / "logs").glob("*.log")):
            yield path, path.read_text(encoding="utf-8", errors="surrogateescape")


@contextmanager
def target(*, short: bool) -> Iterator[Target]:
    """Start a new stack in a `.docwell` folder, where the CLI finds it."""
    with (
        closing(ModelHost(pace_s=0.01)) as host,
        local_stack(MODEL, host.url, ingest_workers=2, reconcile_every_s=0) as stack,
        Doors(stack, timeout_s=_TIMEOUT_S) as doors,
    ):
        yield Target(stack, doors, host, short)
