"""``make bench-pair OLD=COMMIT [BENCH=NAME] [N=20]`` compares this tree with another commit, in turns.

OLD is checked out under build/pair, with its own environment. Each tree runs its own local stack, beside a model
server that answers at once. Old and new take turns, and each pair of samples gives one ratio, new over old:

- coldstart: seconds from the start of a function's process to its first answer, or to its first live document
- query: seconds of ten questions over HTTP
- ingest: seconds from the upload of three PDFs to the last one live
- memory: peak memory of a fresh function after ten questions, or during one document of 40 pages

A goal is met when the 95% interval of the median ratio reaches down to 1.03 or less.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.doors import Doors
from benchmarks.functions import CREATED, Fresh, notification, question_event, run_fresh, sqs_event
from benchmarks.model_host import MODEL, model_server
from benchmarks.pdfs import pages_of_words
from benchmarks.speed.worker_memory import workers_of
from infra.local.names import ROOT
from infra.local.stack import Stack
from infra.measuring import Spread, in_turns, interval_of_ratio
from infra.progress import CONSOLE, bar
from infra.report import Report
from runtime.functions import FunctionSpec

LIMIT = 1.03
_EXAMPLES = ROOT / "examples"
_PAGES = 40  # less than one range, so that the document needs no second message
_WAIT_S = 300.0
_PAUSE_S = 0.02


@dataclass
class Tree:
    """One commit with its running stack."""

    stack: Stack
    doors: Doors
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
        versions = {key: self.doors.put(key, path) for path in paths for key in [f"pair-{number}/{path.name}"]}
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


def check_out(commit: str) -> Path:
    """Return a work tree of the commit with its environment and embedding model. Raises `CalledProcessError`."""
    folder = ROOT / "build" / "pair" / commit
    if not folder.exists():
        subprocess.run(
            ["git", "worktree", "add", "--force", "--detach", str(folder), commit], cwd=ROOT, check=True
        )
    subprocess.run(["scripts/setup", "local"], cwd=folder, check=True)
    subprocess.run([".venv/bin/python", "layers/embedder/build_model.py"], cwd=folder, check=True)
    return folder


@contextmanager
def running(folder: Path, model: str) -> Iterator[Tree]:
    """Run the stack of a work tree during the block, with the example PDFs in its index."""
    python = folder / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="docwell-pair-") as data:
        command = [str(python), "-m", "infra.local", "up", "--no-follow", "--port", "0", "--model", MODEL]
        environment = {**os.environ, "OLLAMA_HOST": model, "PYTHONPATH": ""}
        try:
            subprocess.run(
                [*command, "--data", data], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
            )
            written = json.loads((Path(data) / "stack.json").read_text(encoding="utf-8"))
            stack = Stack(**{name: value for name, value in written.items() if name in Stack.__dataclass_fields__})
            with Doors(stack, _WAIT_S) as doors:
                rows = json.loads((_EXAMPLES / "questions.json").read_text(encoding="utf-8"))
                tree = Tree(stack, doors, [row["question"] for row in rows][:10])
                tree.ingest()
                tree.query()
                yield tree
        finally:
            down = [str(python), "-m", "infra.local", "down", "--data", data]
            subprocess.run(down, cwd=folder, check=False, stdout=subprocess.DEVNULL)


# The samples of each benchmark by name. The last two stop the notifications of S3, which ingest needs.
_BENCHES: dict[str, dict[str, Callable[[Tree], float]]] = {
    "query": {"ten questions": Tree.query},
    "ingest": {"three PDFs": Tree.ingest},
    "coldstart": {
        "query": lambda tree: tree.fresh_query().first,
        "ingest": lambda tree: tree.fresh_ingest().first,
    },
    "memory": {
        "query": lambda tree: tree.fresh_query(memory=True).peak,
        "ingest": lambda tree: tree.fresh_ingest(memory=True).peak,
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-pair", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("old", help="a commit")
    parser.add_argument("--bench", choices=_BENCHES, help="one of them (default: all)")
    parser.add_argument("--n", type=int, default=20, help="pairs (default: 20)")
    options = parser.parse_args()
    short = ["git", "rev-parse", "--short", f"{options.old}^{{commit}}"]
    old = check_out(subprocess.check_output(short, cwd=ROOT, text=True).strip())
    report = Report("bench-pair")
    with ExitStack() as stack:
        model = stack.enter_context(model_server())
        CONSOLE.print("starting both stacks…")
        trees = {"old": stack.enter_context(running(old, model)), "new": stack.enter_context(running(ROOT, model))}
        for bench in [options.bench] if options.bench else _BENCHES:
            if bench in ("coldstart", "memory"):
                for tree in trees.values():
                    tree.stop_events()
            for name, take in _BENCHES[bench].items():
                with bar(f"{bench}: {name}", 2 * (options.n + 1)) as step:
                    ways = {side: partial(take, tree) for side, tree in trees.items()}
                    samples = {side: every[1:] for side, every in in_turns(ways, options.n + 1, step).items()}
                _add(report, f"{bench}, {name}", samples)
    return report.finish()


def _add(report: Report, name: str, samples: dict[str, list[float]]) -> None:
    unit, scale = ("MB", 1e-6) if name.startswith("memory") else ("ms", 1e3)
    for side, values in samples.items():
        report.add(f"{name}: {side}, median", median(values) * scale, unit)
    ratio, low, high = interval_of_ratio(samples["new"], samples["old"])
    report.add_spread(f"{name}: new over old, 95% interval", Spread(ratio, low, high, len(samples["new"])), "x")
    report.add(f"{name}: lower end of the interval", low, "x", f"<= {LIMIT}")


if __name__ == "__main__":
    sys.exit(main())
