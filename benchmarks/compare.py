"""``make bench-compare BASE=COMMIT [BENCH=NAME] [N=20]`` compares this tree with another commit, in turns.

BASE is checked out under build/compare; without BASE it is the newest tag. Each tree runs its own local stack,
beside a model server that answers at once. Base and new take turns, and each pair of samples gives one ratio, new
over base:

- encode: seconds of 32 texts in one batch
- query: seconds of ten questions over HTTP
- ingest: seconds from the upload of three PDFs to the last one live
- coldstart: seconds from the start of a function's process to its first answer, or to its first live document
- memory: peak memory of a fresh function after ten questions, or during one document of 40 pages

The verdict is `slower` or `faster` where the 95% interval of the median ratio excludes 1. A goal is missed where
the whole interval is above a limit. `--short` takes fewer pairs, skips memory and has a higher limit: 3 minutes.
"""

import argparse
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from statistics import median

from benchmarks.model_host import model_server
from benchmarks.trees import Tree, check_out, newest_release, running
from infra.local.names import ROOT
from infra.measuring import Spread, in_turns, interval_of_ratio
from infra.progress import CONSOLE, bar
from infra.report import Report

# Smaller slowdowns are not worth a red build: two runs of one commit differ by as much.
LIMIT = 1.03
# CI's machine does other work, and few pairs have wide intervals: fail on clear slowdowns only.
SHORT_LIMIT = 1.1
PAIRS, SHORT_PAIRS = 20, 8
_WITHOUT_EVENTS = ("coldstart", "memory")
_LONG = ("memory",)

# The samples of each benchmark by name. Those without S3's notifications come last: ingest needs them.
_BENCHES: dict[str, dict[str, Callable[[Tree], float]]] = {
    "encode": {"32 texts": lambda tree: tree.encoder.encode()},
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
    count = options.n or (SHORT_PAIRS if options.short else PAIRS)
    limit = SHORT_LIMIT if options.short else LIMIT
    chosen = (
        [options.bench] if options.bench else [name for name in _BENCHES if not (options.short and name in _LONG)]
    )
    report = Report("bench-compare")
    with ExitStack() as stack:
        folder = check_out(base)
        model = stack.enter_context(model_server())
        CONSOLE.print(f"starting the stacks of {base} and of this tree…")
        trees = {
            "base": stack.enter_context(running(folder, model)),
            "new": stack.enter_context(running(ROOT, model)),
        }
        for bench in chosen:
            if bench in _WITHOUT_EVENTS:
                for tree in trees.values():
                    tree.stop_events()
            for name, take in _BENCHES[bench].items():
                # The first pair is a warm-up.
                with bar(f"{bench}: {name}", 2 * (count + 1)) as step:
                    ways = {side: partial(take, tree) for side, tree in trees.items()}
                    samples = {side: every[1:] for side, every in in_turns(ways, count + 1, step).items()}
                add_comparison(report, f"{bench}, {name}", samples, limit)
    return report.finish()


def add_comparison(report: Report, name: str, samples: dict[str, list[float]], limit: float) -> None:
    """Add the verdict with its interval, the goal, and the median of each side."""
    ratio, low, high = interval_of_ratio(samples["new"], samples["base"])
    spread = Spread(ratio, low, high, len(samples["new"]))
    report.add_spread(f"{name}: {verdict(low, high)} (new over base, 95% interval)", spread, "x")
    report.add(f"{name}: lower end of the interval", low, "x", f"<= {limit}")
    unit, scale = ("MB", 1e-6) if name.startswith("memory") else ("ms", 1e3)
    for side, values in samples.items():
        report.add(f"{name}: {side}, median", median(values) * scale, unit)


def verdict(low: float, high: float) -> str:
    """Return the verdict of an interval of ratios, new over base.

    >>> verdict(1.01, 1.2), verdict(0.8, 0.99), verdict(0.9, 1.1)
    ('slower', 'faster', 'no difference seen')
    """
    if low > 1:
        return "slower"
    return "faster" if high < 1 else "no difference seen"


if __name__ == "__main__":
    sys.exit(main())
