"""``make bench-compare BASE=COMMIT [BENCH=NAME] [N=20]`` compares this tree with another commit, in turns.

BASE is checked out under build/compare; without BASE it is the newest tag. Each tree runs its own local stack,
beside a model server that answers at once. Base and new take turns, and each pair of samples gives one ratio, new
over base. The verdict is `slower` or `faster` where the 95% interval of the median ratio excludes 1. A goal is
missed where the whole interval is above a limit. `--short` takes fewer pairs, skips memory and has a higher limit.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from benchmarks.processes import workers_of
from benchmarks.speed.collection import Texts
from infra.local.names import ROOT
from infra.local.stack import Stack
from infra.measuring import Spread, in_turns, interval_of_ratio
from infra.progress import CONSOLE, bar
from infra.report import Report
from runtime.functions import FunctionSpec

# Smaller slowdowns are not worth a red build: two runs of one commit differ by as much.
LIMIT = 1.03
# CI's machine does other work, and few pairs have wide intervals: fail on clear slowdowns only.
SHORT_LIMIT = 1.1
PAIRS, SHORT_PAIRS = 20, 8
_EXAMPLES = ROOT / "examples"
_ENCODER = ROOT / "benchmarks" / "speed" / "encoder.py"
# 32 texts take a quarter of a second: long against the clock, short against the machine's noise.
_TEXTS = 32
_QUESTIONS = 10
_PAGES = 40  # less than one range, so that the document needs no second message
_WAIT_S = 300.0
_PAUSE_S = 0.02
# Trees with the same locks share one environment.
_LOCKS = ("requirements/local.txt", "requirements/uv.txt")


@dataclass
class Tree:
    """One commit with its running stack, and a process that encodes with its package."""

    stack: Stack
    doors: Doors
    encoder: subprocess.Popen[str]
    questions: Sequence[str]
    _numbers: Iterator[int] = field(default_factory=count)

    def encode(self) -> float:
        """Return the seconds of the texts in one batch. Raises `RuntimeError` where the process has died."""
        pipe, answers = self.encoder.stdin, self.encoder.stdout
        print(file=pipe, flush=True)
        line = answers.readline() if answers else ""
        if not line:
            raise RuntimeError("the encoder of a tree has ended: read its error above")
        return float(line)

    def query(self) -> float:
        """Return the seconds of all questions over HTTP. Raises `RuntimeError` where one fails."""
        started = time.perf_counter()
        for question in self.questions:
            answer = self.doors.ask({"question": question})
            if answer.status != 200:
                raise RuntimeError(f"{question}: {answer}")
        return time.perf_counter() - started

    def ingest(self) -> float:
        """Return the seconds from the first upload of the examples to the last document live."""
        number, started = next(self._numbers), time.perf_counter()
        paths = sorted(_EXAMPLES.rglob("*.pdf"))
        versions = {key: self.doors.put(key, path) for path in paths for key in [f"turn-{number}/{path.name}"]}
        for key, version in versions.items():
            self.doors.indexed(key, version, _WAIT_S, pause_s=_PAUSE_S)
        return time.perf_counter() - started

    def fresh_query(self, *, memory: bool = False) -> Fresh:
        """Start a fresh query function and ask it one question, or all for its memory."""
        questions = self.questions if memory else self.questions[:1]
        return self._fresh("query", [question_event(question) for question in questions], memory=memory)

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
        worker = workers_of(psutil.Process(self.stack.pid), handler)[0]
        python, _, runtime, _ = worker.cmdline()
        # The working directory is this tree: PYTHONSAFEPATH keeps it off the other tree's path.
        variables = worker.environ() | {"PYTHONSAFEPATH": "1"}
        spec = FunctionSpec(handler, variables, _WAIT_S, runtime=runtime, python=python, on_line=lambda _: None)
        fresh = run_fresh(spec, events, memory=memory)
        for answer in fresh.answers:
            if answer.get("statusCode", 200) != 200 or answer.get("batchItemFailures"):
                raise RuntimeError(f"{name}: {answer}")
        return fresh


# The samples of each benchmark by name. Cold starts and memory come last: they need S3's notifications stopped.
_BENCHES: dict[str, dict[str, Callable[[Tree], float]]] = {
    "encode": {f"{_TEXTS} texts": Tree.encode},
    "query": {"ten questions": Tree.query},
    "ingest": {"three PDFs": Tree.ingest},
    "coldstart": {
        "query, to its first answer": lambda tree: tree.fresh_query().first,
        "ingest, to its first document live": lambda tree: tree.fresh_ingest().first,
    },
    "memory": {
        "query, peak of ten questions": lambda tree: tree.fresh_query(memory=True).peak,
        f"ingest, peak of {_PAGES} pages": lambda tree: tree.fresh_ingest(memory=True).peak,
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-compare", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("base", nargs="?", help="a commit (default: the newest tag)")
    parser.add_argument("--bench", choices=_BENCHES, help="one of them (default: all)")
    parser.add_argument("--n", type=int, help=f"pairs (default: {PAIRS}, short form {SHORT_PAIRS})")
    parser.add_argument("--short", action="store_true", help="few pairs, no memory, and a higher limit")
    options = parser.parse_args()
    base = options.base or newest_release()
    if base is None:
        print("bench-compare: skipped, as this repository has no tag yet: name a commit with BASE=")
        return 0
    # SIGTERM cleans up as Ctrl-C does: the stacks run in the background.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pairs = options.n or (SHORT_PAIRS if options.short else PAIRS)
    report = Report("bench-compare", notes=[f"Base: {base}"])
    with ExitStack() as stack:
        folder = check_out(base)
        model = stack.enter_context(model_server())
        CONSOLE.print(f"starting the stacks of {base} and of this tree…")
        trees = {
            side: stack.enter_context(running(tree, model)) for side, tree in (("base", folder), ("new", ROOT))
        }
        for bench, samplers in _BENCHES.items():
            if options.bench not in (None, bench) or (options.short and bench == "memory" and not options.bench):
                continue
            if bench in ("coldstart", "memory"):
                for tree in trees.values():
                    tree.stop_events()
            for name, take in samplers.items():
                # The first pair is a warm-up.
                with bar(f"{bench}: {name}", 2 * (pairs + 1)) as step:
                    turns = {side: partial(take, tree) for side, tree in trees.items()}
                    samples = {side: times[1:] for side, times in in_turns(turns, pairs + 1, step).items()}
                add_comparison(report, f"{bench}, {name}", samples, SHORT_LIMIT if options.short else LIMIT)
    return report.finish()


def add_comparison(report: Report, name: str, samples: dict[str, list[float]], limit: float) -> None:
    """Add the verdict with its interval, the goal, and the median of each side."""
    ratio, low, high = interval_of_ratio(samples["new"], samples["base"])
    spread = Spread(ratio, low, high, len(samples["new"]))
    verdict = "slower" if low > 1 else "faster" if high < 1 else "no difference seen"
    report.add_spread(f"{name}: {verdict} (new over base, 95% interval)", spread, "x")
    report.add(f"{name}: lower end of the interval", low, "x", f"<= {limit}")
    unit, scale = ("MB", 1e-6) if name.startswith("memory") else ("ms", 1e3)
    for side, values in samples.items():
        report.add(f"{name}: {side}, median", median(values) * scale, unit)


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
    if all((folder / lock).read_bytes() == (ROOT / lock).read_bytes() for lock in _LOCKS):
        if environment.exists():
            shutil.rmtree(environment)
        environment.symlink_to(ROOT / ".venv")
    else:
        subprocess.run(["scripts/setup", "local"], cwd=folder, check=True)
    build = [".venv/bin/python", "layers/embedder/build_model.py"]
    subprocess.run(build, cwd=folder, env=_variables_of(folder), check=True)
    return folder


def _variables_of(folder: Path) -> Mapping[str, str]:
    """Return the environment variables of a tree's processes: its code is first on the path of a shared .venv."""
    path = os.pathsep.join(map(str, (folder, folder / "layers" / "docwell" / "python")))
    return {**os.environ, "PYTHONPATH": path}


@contextmanager
def running(folder: Path, model: str) -> Iterator[Tree]:
    """Run the stack of a work tree during the block, with the example PDFs in its index."""
    python, variables = str(folder / ".venv" / "bin" / "python"), {**_variables_of(folder), "OLLAMA_HOST": model}
    with tempfile.TemporaryDirectory(prefix="docwell-compare-") as data, _encoder(python, folder) as encoder:
        local = [python, "-m", "infra.local"]
        up = [*local, "up", "--no-follow", "--port", "0", "--model", MODEL, "--data", data]
        try:
            subprocess.run(up, cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL)
            written = json.loads((Path(data) / "stack.json").read_text(encoding="utf-8"))
            stack = Stack(**{name: value for name, value in written.items() if name in Stack.__dataclass_fields__})
            with Doors(stack, _WAIT_S) as doors:
                rows = json.loads((_EXAMPLES / "questions.json").read_text(encoding="utf-8"))
                tree = Tree(stack, doors, encoder, [row["question"] for row in rows][:_QUESTIONS])
                tree.ingest()
                tree.query()
                yield tree
        finally:
            down = [*local, "down", "--data", data]
            subprocess.run(down, cwd=folder, env=variables, check=False, stdout=subprocess.DEVNULL)


@contextmanager
def _encoder(python: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the encoder of a tree during the block; it loads the model and gets the texts at once."""
    texts = json.dumps([chunk.text for chunk in Texts.read([_EXAMPLES], _TEXTS).chunks])
    # -P: the script's folder, which is this tree's, stays off the path.
    command, pipe = [python, "-P", str(_ENCODER)], subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=_variables_of(folder), stdin=pipe, stdout=pipe, text=True
    ) as process:
        print(texts, file=process.stdin, flush=True)
        yield process  # `Popen` closes the input at the end of the block, which ends the process


if __name__ == "__main__":
    sys.exit(main())
