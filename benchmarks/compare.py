"""``python -m benchmarks.compare`` (`make bench-compare`): questions and ingest beside another commit, in pairs.

The other commit is unpacked below build/compare, with its own packages and model. Each tree runs its own stack
beside a model host that answers at once, and indexes the same documents of one page. The two take turns, and each
pair of samples gives one ratio, new over old. A goal is missed where the whole 95% interval of the mean ratio is
above `LIMIT`. The last questions come from a caller whose rights are a rule.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.doors import Doors, run_command
from benchmarks.model_host import MODEL, model_server
from benchmarks.pdfs import pages_of_words
from infra.local.names import LOCAL_PRINCIPAL
from infra.local.stack import Stack
from infra.measuring import Spread, in_turns, interval_of_mean
from infra.progress import bar
from infra.report import ROOT, Report, git

LIMIT = 1.1  # two runs of one commit differ by as much
_WORDS, _BATCHES, _WAIT_S = 150, 10, 900.0
_RULE = {"M": {"collection": {"S": "pairs"}, "prefix": {"S": "pairs/0"}, "tags": {"M": {}}}}
_GRANT = {"principal": {"S": LOCAL_PRINCIPAL}, "item": {"S": "grant"}, "rules": {"L": [_RULE]}}
Side = tuple[Stack, Doors]


def ingest(side: Side, first: int, count: int) -> float:
    """Return the seconds from the first upload of so many documents to the last one live."""
    bodies = {f"pairs/{n:05}.pdf": pages_of_words(1, _WORDS, f"{n}") for n in range(first, first + count)}
    started = time.perf_counter()
    versions = {key: side[1].put(key, body) for key, body in bodies.items()}
    for key, version in versions.items():
        side[1].indexed(key, version, _WAIT_S)
    return time.perf_counter() - started


def ask(side: Side, bodies: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean seconds of the questions. Raises `RuntimeError` where one fails."""
    replies = list(map(side[1].ask, bodies))
    if failed := [reply for reply in replies if reply.status != 200]:
        raise RuntimeError(f"a question failed: {failed[0]}")
    return sum(reply.seconds for reply in replies) / len(replies)


@contextmanager
def running(folder: Path, model: str) -> Iterator[Side]:
    """Run the stack of a tree during the block."""
    variables = {**os.environ, "OLLAMA_HOST": model, "DOCWELL_FIRST_TOKEN_S": "0", "PYTHONPATH": ""}
    local = [str(folder / ".venv/bin/python"), "-m", "infra.local"]
    run = partial(subprocess.run, cwd=folder, env=variables, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(prefix="docwell-compare-") as data:
        try:
            run([*local, "up", "--no-follow", "--port", "0", "--model", MODEL, "--data", data], check=True)
            written = json.loads((Path(data) / "stack.json").read_text(encoding="utf-8"))
            stack = Stack(**{name: value for name, value in written.items() if name in Stack.__dataclass_fields__})
            with Doors(stack, _WAIT_S) as doors:
                yield stack, doors
        finally:
            run([*local, "down", "--data", data], check=False)


def add_pairs(report: Report, name: str, works: Mapping[str, Callable[[], float]], pairs: int) -> None:
    """Measure in turns, and add the ratio with its interval and the median of each side."""
    with bar(name, len(works) * pairs) as step:
        samples = in_turns(works, pairs, step)
    logarithms = np.log(np.divide(samples["new"], samples["old"]))
    low, high = np.exp(interval_of_mean(logarithms.tolist())).tolist()
    ratio = Spread(float(np.exp(logarithms.mean())), low, high, pairs)
    report.add_spread(f"{name}: new over old, and 95% interval", ratio, "x")
    report.add(f"{name}: lower end of the interval", low, "x", f"<= {LIMIT}")
    for side, values in samples.items():
        report.add(f"{name}: {side}, median", 1000 * median(values), "ms")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--base", default="2be9beda", help="the other commit (default: %(default)s)")
    parser.add_argument("--short", action="store_true", help="100 documents and 8 pairs in place of 1,000 and 20")
    options = parser.parse_args()
    documents, pairs = (100, 8) if options.short else (1_000, 20)
    report, batch = Report("bench-compare"), documents // _BATCHES
    trees = {"new": ROOT, "old": ROOT / "build" / "compare" / git("rev-parse", "--short=8", options.base)}
    subprocess.run([ROOT / "scripts" / "unpack", trees["old"].name, trees["old"]], cwd=ROOT, check=True)
    kinds = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    with ExitStack() as exits:
        model = exits.enter_context(model_server())
        sides = {name: exits.enter_context(running(tree, model)) for name, tree in trees.items()}
        firsts = {name: iter(range(0, documents, batch)) for name in sides}
        works = {name: lambda n=name, s=side: ingest(s, next(firsts[n]), batch) for name, side in sides.items()}
        add_pairs(report, f"ingest of {batch} documents", works, _BATCHES)
        for kind, bodies in (*kinds.items(), (f"a grant on {documents:,} documents", kinds["plain"])):
            for stack, doors in sides.values():
                if kind not in kinds:
                    stack.client("dynamodb").put_item(TableName=stack.principals_table, Item=_GRANT)
                ask((stack, doors), bodies)  # warms up
            questions = {name: partial(ask, side, bodies) for name, side in sides.items()}
            add_pairs(report, f"questions, {kind}", questions, pairs)
    return report.finish()


if __name__ == "__main__":
    run_command(main)
