"""Start the parts in order, restart parts that die, and stop all. No process survives, even after SIGKILL."""

from __future__ import annotations

import fcntl
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from docwell.config import IngestSettings
from docwell.wiring.pipelines import pipelines
from infra.local.console import StackConsole
from infra.local.keys import LOCK, append_private, private_folder, write_private
from infra.local.names import NOTICE, ROOT, WARNING
from infra.local.ports import answers
from infra.local.prometheus import served, stack_exporter
from infra.local.stack import MODEL_DIR, STACK_FILE, Part, Stack, StackOptions, model_host, own_settings, plan
from runtime.metrics import Exporter
from runtime.process import Child

MAX_RESTARTS = 5
RESTART_WINDOW_S = 60.0
# The pause before the first restart. It doubles with each restart within the window.
FIRST_PAUSE_S = 0.25
# The last lines to show of a part that failed.
SHOWN_LINES = 8
# The time for all parts to stop; then the supervisor kills the rest.
STOP_S = 8.0
# Two stacks that start at once choose the same free ports; the second then chooses again.
_STARTS = 5
_IN_USE = "address already in use"


class StackFailed(Exception):
    """A part failed. The message names it, shows its last lines and gives a hint."""


class AlreadyRunning(StackFailed):
    """Another supervisor uses this data folder."""


class PortTaken(StackFailed):
    """A part cannot listen: another program took its port after the ports were chosen."""


def remove_temporary(logs: Path) -> None:
    """Remove the temporary folder of a killed supervisor."""
    with suppress(OSError):
        shutil.rmtree((logs / "temporary").read_text(encoding="utf-8"), ignore_errors=True)


class _Running:
    """One part: its current process and the times of its restarts."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.child: Child | None = None
        self.restarts: deque[float] = deque(maxlen=MAX_RESTARTS)
        self.announced = threading.Event()

    def ready(self) -> bool:
        if self.part.url is not None:
            return answers(self.part.url, body=self.part.body)
        return self.announced.is_set()


class Supervisor:
    """The parts of one stack."""

    def __init__(
        self, parts: Sequence[Part], console: StackConsole, on_line: Callable[[str], None] = lambda _: None
    ) -> None:
        """`on_line` gets each line of the parts' output."""
        self._running = {part.name: _Running(part) for part in parts}
        self._console = console
        self._on_line = on_line
        # For all parts, whose sockets have 103 bytes at most. A killed supervisor leaves it to the next start.
        folder = f"{os.sep}tmp" if gettempdir()[55:] else gettempdir()
        self._temporary = TemporaryDirectory(prefix="docwell-", dir=folder, ignore_cleanup_errors=True)
        remove_temporary(console.logs)
        write_private(console.logs / "temporary", self._temporary.name)
        self._exits: queue.Queue[tuple[str, int] | None] = queue.Queue()
        self._stopping = threading.Event()
        self._installing = threading.Lock()

    def start(self) -> None:
        """Start every part when its predecessors are ready. Raises `StackFailed`, and then stops all parts."""
        try:
            waiting = dict(self._running)
            ready: set[str] = set()
            while waiting:
                able = [name for name, running in waiting.items() if running.part.after <= ready]
                for name in able:
                    self._console.begin(name)
                    self._launch(waiting[name])
                for name in able:
                    self._wait_ready(waiting.pop(name))
                    ready.add(name)
        except BaseException:
            self.stop()
            raise

    def watch(self) -> None:
        """Restart parts that die, until `stop`. Raises `StackFailed` when a part keeps dying."""
        while (ended := self._exits.get()) is not None:
            if self._stopping.is_set():
                return
            name, status = ended
            running = self._running[name]
            now = time.monotonic()
            if len(running.restarts) == MAX_RESTARTS and now - running.restarts[0] < RESTART_WINDOW_S:
                raise self._failure(running, f"ended {MAX_RESTARTS + 1} times within a minute")
            recent = sum(now - then < RESTART_WINDOW_S for then in running.restarts)
            running.restarts.append(now)
            self._console.say(f"{name} restarts after status {status}" if status else f"{name} restarts", "yellow")
            threading.Timer(FIRST_PAUSE_S * 2**recent, self._launch, [running]).start()

    def restart(self, name: str, environment: Mapping[str, str]) -> None:
        """Start a part again, with more variables, and return when it is ready. `watch` must be running."""
        running = self._running[name]
        running.part = replace(running.part, environment={**running.part.environment, **environment})
        running.announced.clear()
        if running.child is not None:
            running.child.stop(STOP_S)
        deadline = time.monotonic() + running.part.ready_timeout_s
        while not running.ready() and time.monotonic() < deadline:
            time.sleep(0.1)

    def install_ocr(self, stack: Stack) -> None:
        """Install OCR in the background. Once it is there and no document waits, start its functions again."""
        # `docwell ocr on` follows these lines in the log.
        self._console.line("ocr", f"{NOTICE}installing OCR for scanned pages, once; OCR=0 switches it off")
        if not self._installing.acquire(blocking=False):
            return

        def ended(status: int) -> None:
            try:
                if not status and self._running["ingest"].part.environment.get("DOCWELL_OCR") != "rapidocr":
                    # A document that is being read would wait a minute for its next delivery.
                    while stack.waiting():
                        time.sleep(2)
                    self.restart("ingest", {"DOCWELL_OCR": "rapidocr"})
                    if os.environ.get("DOCWELL_OCR") == "off":  # reconcile runs in the gateway
                        self.restart("gateway", {"DOCWELL_OCR": "rapidocr"})
            except (BotoCoreError, ClientError):  # the stack stops meanwhile
                status = 1
            self._installing.release()
            if status:
                self._console.line("ocr", f"{WARNING}no OCR, scans stay unread: see logs/ocr.log")
                return
            self._console.line("ocr", f"{NOTICE}OCR is installed: scanned pages are read now, one after another")
            # Reconcile sends ingest the documents that it read without OCR.
            event = json.dumps({"action": "reconcile", "force": True})
            with suppress(BotoCoreError, ClientError):
                stack.client("lambda").invoke(FunctionName=stack.reconcile_function, Payload=event)

        Child(["make", "ocr"], os.environ, lambda line: self._console.line("ocr", line), ended)

    def stop(self) -> None:
        """Stop all parts in reverse order, within 10 seconds."""
        self._stopping.set()
        self._exits.put(None)
        deadline = time.monotonic() + STOP_S
        for running in reversed(self._running.values()):
            if running.child is not None:
                running.child.stop(max(0.2, min(3.0, deadline - time.monotonic())))
        self._temporary.cleanup()

    def _launch(self, running: _Running) -> None:
        if self._stopping.is_set():
            return
        name = running.part.name

        def on_line(line: str) -> None:
            if running.part.ready_line and running.part.ready_line in line:
                running.announced.set()
            self._console.line(name, line)
            self._on_line(line)

        running.child = Child(
            running.part.command,
            {**running.part.environment, "TMPDIR": self._temporary.name},
            on_line,
            lambda status: self._exits.put((name, status)),
        )
        if self._stopping.is_set():  # `stop` ran during the start
            running.child.kill()

    def _wait_ready(self, running: _Running) -> None:
        deadline = time.monotonic() + running.part.ready_timeout_s
        while not running.ready():
            if running.child is not None and not running.child.running:
                running.child.wait_output()
                raise self._failure(running, "ended while it was starting")
            if time.monotonic() > deadline:
                raise self._failure(running, f"was not ready after {running.part.ready_timeout_s:.0f} s")
            time.sleep(0.05)

    def _failure(self, running: _Running, problem: str) -> StackFailed:
        part = running.part
        last = list(running.child.last_lines)[-SHOWN_LINES:] if running.child else []
        lines = "\n".join(f"    {line}" for line in last) or "    (no output)"
        advice = f"\n  {part.advice}" if part.advice else ""
        kind = PortTaken if _IN_USE in lines.lower() else StackFailed
        return kind(
            f"the part {part.name!r} {problem}. Its last lines:\n{lines}\n"
            f"  the whole log: {self._console.log_path(part.name)}{advice}"
        )


def ensure_embedder(console: StackConsole) -> None:
    """Build the embedding model if it is missing. Raises `StackFailed`."""
    if (MODEL_DIR / "manifest.json").exists():
        return
    console.say("building the embedding model (once)…")
    result = subprocess.run([sys.executable, "-m", "layers.embedder.build_model"], cwd=ROOT, check=False)
    if result.returncode != 0:
        raise StackFailed("cannot build the embedding model: see the lines above, then try `make model`")


def language_model_file(model: str) -> Path:
    """Return the model's GGUF file, verified by its SHA-256; download it if needed. Raises `StackFailed`."""
    from docwell.errors import DocwellError
    from layers.embedder.download.fetch import fetch

    try:
        files = fetch(model)
    except DocwellError as error:
        raise StackFailed(f"cannot download the language model {model}: {error}") from error
    ggufs = [path for path in files.values() if path.suffix == ".gguf"]
    if not ggufs:
        raise StackFailed(f"{model} is not a language model that runs on this machine")
    return ggufs[0]


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Lock the data folder. Raises `AlreadyRunning`."""
    private_folder(data)
    with append_private(data / LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            running = Stack.read(data)
            where = f" (process {running.pid}, {running.gateway})" if running else ""
            raise AlreadyRunning(f"a stack is running on {data}{where}: use it, or stop it first") from None
        yield  # closing the file releases the lock, even when the supervisor is killed


def _started(
    options: StackOptions, ollama: str | None, console: StackConsole, exporter: Exporter, metrics: str, token: str
) -> tuple[Stack, Supervisor]:
    for attempt in range(1, _STARTS + 1):
        stack, parts = plan(options, ollama, lambda: language_model_file(options.model), metrics, token)
        supervisor = Supervisor(parts, console, exporter.read)
        try:
            supervisor.start()
        except PortTaken:
            if attempt == _STARTS:
                raise
            console.say("another program took a port: starting again with other ports", "yellow")
        else:
            return stack, supervisor
    raise AssertionError("unreachable")


@contextmanager
def supervised(options: StackOptions, console: StackConsole) -> Iterator[tuple[Stack, Supervisor]]:
    """Start a stack, and stop it when the block ends. Raises `StackFailed`."""
    with locked(options.data):
        if options.ingest_handler == StackOptions.ingest_handler:
            ensure_embedder(console)
            if is_rebuilt(options):
                console.say(REBUILT, "yellow")
        ollama = None
        try:
            if address := options.model_host or os.environ.get("OLLAMA_HOST", "").strip():
                ollama = model_host(address, options.model)
        except LookupError as missing:
            if options.model_host:
                raise StackFailed(str(missing)) from None
            console.say(f"OLLAMA_HOST: {missing} Starting a model server instead", "yellow")
        exporter, token = stack_exporter(options.model), token_urlsafe(24)
        with served(exporter, token) as metrics:
            stack, supervisor = _started(options, ollama, console, exporter, metrics, token)
            try:
                stack.write()
                yield stack, supervisor
            finally:
                (options.data / STACK_FILE).unlink(missing_ok=True)
                supervisor.stop()


@contextmanager
def running_stack(data: Path, model: str = StackOptions.model, port: int = 0, **options: Any) -> Iterator[Stack]:
    """Run the whole stack during the block, with its logs in DATA/logs only. Raises `StackFailed`."""
    console = StackConsole(data / "logs", silent=True)
    with supervised(StackOptions(data, model, port, **options), console) as (stack, supervisor):

        def watch() -> None:
            try:
                supervisor.watch()
            except StackFailed as failure:
                # The caller's next request fails; this file has the reason.
                (console.logs / "supervisor.log").write_text(f"{failure}\n", encoding="utf-8")

        threading.Thread(target=watch, daemon=True).start()
        yield stack


_STATE = "#state"
REBUILT = (
    "the settings differ from those of the index: every document is indexed again, and answers nothing until it is"
    " INDEXED; `docwell ls` shows them"
)


def is_rebuilt(options: StackOptions) -> bool:
    """Return whether the data folder has an index of other settings only."""
    try:
        rows = json.loads((options.data / "aws" / "ledger.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    stored = {row["pipeline"]["S"] for row in rows if "pipeline" in row} - {_STATE}
    return bool(stored) and stored.isdisjoint(pipelines(IngestSettings.read(**own_settings(options))))
