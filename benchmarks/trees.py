"""Work trees of commits with their running stacks, which `make bench-compare` measures in turns."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import psutil

from benchmarks.doors import Doors
from benchmarks.functions import CREATED, Fresh, notification, question_event, run_fresh, sqs_event
from benchmarks.model_host import MODEL
from benchmarks.pdfs import pages_of_words
from benchmarks.speed.filled_index import Texts
from benchmarks.speed.worker_memory import workers_of
from infra.local.names import ROOT
from infra.local.stack import Stack
from runtime.functions import FunctionSpec

_EXAMPLES = ROOT / "examples"
_ENCODER = ROOT / "benchmarks" / "encode_on_demand.py"
# 32 texts take a quarter of a second: long against the clock, short against the machine's noise.
_TEXTS = 32
_PAGES = 40  # less than one range, so that the document needs no second message
_WAIT_S = 300.0
_PAUSE_S = 0.02
# Trees with the same locks share one environment.
_LOCKS = ("requirements/local.txt", "requirements/uv.txt")


class Encoder(NamedTuple):
    """The pipes of a process that encodes the texts for each line."""

    input: IO[str]
    output: IO[str]

    def encode(self) -> float:
        """Return the seconds of the texts in one batch. Raises `RuntimeError` where the process has died."""
        print(file=self.input, flush=True)
        line = self.output.readline()
        if not line:
            raise RuntimeError("the encoder of a tree has ended: read its error above")
        return float(line)


@dataclass
class Tree:
    """One commit with its running stack and an encoder of its package."""

    stack: Stack
    doors: Doors
    encoder: Encoder
    questions: Sequence[str]
    _numbers: Iterator[int] = field(default_factory=count)

    def query(self) -> float:
        """Return the seconds of all questions over HTTP. Raises `RuntimeError` where one fails."""
        started = time.perf_counter()
        for question in self.questions:
            seen = self.doors.ask({"question": question})
            if seen.status != 200:
                raise RuntimeError(f"{question}: {seen}")
        return time.perf_counter() - started

    def ingest(self) -> float:
        """Return the seconds from the first upload to the last document live."""
        number, started = next(self._numbers), time.perf_counter()
        paths = sorted(_EXAMPLES.rglob("*.pdf"))
        versions = {key: self.doors.put(key, path) for path in paths for key in [f"turn-{number}/{path.name}"]}
        for key, version in versions.items():
            self.doors.indexed(key, version, _WAIT_S, pause_s=_PAUSE_S)
        return time.perf_counter() - started

    def fresh_query(self, *, memory: bool = False) -> Fresh:
        """Start a fresh query function and ask it one question, or all for its memory."""
        questions = self.questions if memory else self.questions[:1]
        return self._fresh("query", [question_event(one) for one in questions], memory=memory)

    def fresh_ingest(self, *, memory: bool = False) -> Fresh:
        """Start a fresh ingest function and give it a short document, or a long one for its memory."""
        key = f"fresh/{next(self._numbers)}.pdf"
        version = self.doors.put(key, pages_of_words(_PAGES if memory else 2, 150))
        sample = self._fresh("ingest", [sqs_event(notification(CREATED, self.stack.bucket, key))], memory=memory)
        self.doors.indexed(key, version, timeout_s=1)  # the function has ended: it is live now or never
        return sample

    def stop_events(self) -> None:
        """Stop S3's notifications, so that only a fresh function indexes what is uploaded."""
        self.stack.client("s3").put_bucket_notification_configuration(
            Bucket=self.stack.bucket, NotificationConfiguration={}
        )

    def _fresh(self, name: str, events: Sequence[dict[str, Any]], *, memory: bool) -> Fresh:
        """Start the function as the stack starts it. Raises `RuntimeError`, `FunctionError`."""
        handler = f"functions.{name}.handler.handler"
        running = workers_of(psutil.Process(self.stack.pid), handler)[0]
        python, _, runtime, _ = running.cmdline()
        # The working directory is this tree: PYTHONSAFEPATH keeps it off the other tree's path.
        variables = running.environ() | {"PYTHONSAFEPATH": "1"}
        spec = FunctionSpec(handler, variables, _WAIT_S, runtime=runtime, python=python, on_line=lambda _: None)
        fresh = run_fresh(spec, events, memory=memory)
        for answer in fresh.answers:
            if answer.get("statusCode", 200) != 200 or answer.get("batchItemFailures"):
                raise RuntimeError(f"{name}: {answer}")
        return fresh


def newest_release(root: Path = ROOT) -> str | None:
    """Return the newest tag among the ancestors of this commit, or None."""
    described = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0"], cwd=root, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or None


def check_out(commit: str) -> Path:
    """Return a work tree of the commit with its environment and embedding model. Raises `CalledProcessError`."""
    short = subprocess.check_output(
        ["git", "rev-parse", "--short", f"{commit}^{{commit}}"], cwd=ROOT, text=True
    ).strip()
    folder = ROOT / "build" / "compare" / short
    if not folder.exists():
        subprocess.run(["git", "worktree", "add", "--force", "--detach", str(folder), short], cwd=ROOT, check=True)
    environment = folder / ".venv"
    if environment.is_symlink():
        environment.unlink()  # this tree's locks may have changed since
    if all(same(folder / lock, ROOT / lock) for lock in _LOCKS):
        if environment.exists():
            shutil.rmtree(environment)
        environment.symlink_to(ROOT / ".venv")
    else:
        subprocess.run(["scripts/setup", "local"], cwd=folder, check=True)
    build = [".venv/bin/python", "layers/embedder/build_model.py"]
    subprocess.run(build, cwd=folder, env=variables_of(folder), check=True)
    return folder


def same(one: Path, other: Path) -> bool:
    """Return whether both files exist and have the same content."""
    return one.exists() and other.exists() and one.read_bytes() == other.read_bytes()


def variables_of(folder: Path) -> Mapping[str, str]:
    """Return the environment variables of a tree's processes: its code is first on the path of a shared .venv."""
    path = os.pathsep.join(map(str, (folder, folder / "layers" / "docwell" / "python")))
    return {**os.environ, "PYTHONPATH": path}


@contextmanager
def running(folder: Path, model: str) -> Iterator[Tree]:
    """Run the stack of a work tree during the block, with the example PDFs in its index."""
    python = str(folder / ".venv" / "bin" / "python")
    with tempfile.TemporaryDirectory(prefix="docwell-compare-") as data, _encoder(python, folder) as encoder:
        command = [python, "-m", "infra.local", "up", "--no-follow", "--port", "0", "--model", MODEL]
        variables = {**variables_of(folder), "OLLAMA_HOST": model}
        try:
            subprocess.run(
                [*command, "--data", data], cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL
            )
            written = json.loads((Path(data) / "stack.json").read_text(encoding="utf-8"))
            stack = Stack(**{name: value for name, value in written.items() if name in Stack.__dataclass_fields__})
            with Doors(stack, _WAIT_S) as doors:
                rows = json.loads((_EXAMPLES / "questions.json").read_text(encoding="utf-8"))
                tree = Tree(stack, doors, encoder, [row["question"] for row in rows][:10])
                tree.ingest()
                tree.query()
                yield tree
        finally:
            down = [python, "-m", "infra.local", "down", "--data", data]
            subprocess.run(down, cwd=folder, env=variables, check=False, stdout=subprocess.DEVNULL)


@contextmanager
def _encoder(python: str, folder: Path) -> Iterator[Encoder]:
    """Run the encoder of a tree during the block; it loads the model and gets the texts at once."""
    # -P: the script's folder, which is this tree's, stays off the path.
    command = [python, "-P", str(_ENCODER)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=variables_of(folder), stdin=pipe, stdout=pipe, text=True
    ) as process:
        encoder = Encoder(cast("IO[str]", process.stdin), cast("IO[str]", process.stdout))
        print(json.dumps(_texts()), file=encoder.input, flush=True)
        yield encoder  # `Popen` closes the input at the end of the block, which ends the process


def _texts() -> list[str]:
    """Return chunks of the example PDFs, the same for both sides."""
    return [chunk.text for chunk in Texts.read([_EXAMPLES], _TEXTS).chunks]
