"""Time from upload to live by pages (1 to 5,000) and by documents (10 to 10,000), and reconcile's time by key.

One local stack runs with two workers. Pages have about 150 words, which is one chunk; the many documents have one
such page each. Where 10,000 documents do not fit into the time of this benchmark, it measures as many as do, and
the figure's name says how many. Processor time of docwell and of the parts that only the local stack has is shown
apart: the pace without these is what two cores could do with docwell's own. Reconcile's time is per object in the
bucket; each was indexed before.
"""

import json
import time

from benchmarks.doors import local_stack
from benchmarks.pdfs import pages_of_words
from benchmarks.speed.options import Options
from benchmarks.speed.processor_time import ProcessorTime
from benchmarks.speed.uploads import MODEL, Indexed, Uploads
from infra.local.stack import Stack
from infra.measuring import Spread
from infra.progress import Bar, bar
from infra.report import Report

WORDS = 150
# Pages, and how often.
PAGES = ((1, 5), (10, 5), (100, 5), (1_000, 1), (5_000, 1))
SHORT_PAGES = ((1, 2), (10, 1), (100, 1))
# The most words that fit on a page.
FULL_PAGES, FULL_WORDS = 300, 350
DOCUMENTS = (10, 100, 1_000, 10_000)
SHORT_DOCUMENTS = (10, 200)
# Fewer do not show the pace: the first ones wait for the workers to start.
MANY_DOCUMENTS = 1_000
# The limit for all documents together, by the pace of those before.
DOCUMENTS_S = 330.0
# The cores that the pace without stand-ins is for, as the machine of the figures has.
CORES = 2
# Ingest is linear when a page costs the same in the two.
FEW, MANY = 100, 5_000
_TIMEOUT_S = 1800.0
_RECONCILE_S = 600.0


def measure(report: Report, options: Options) -> None:
    """Measure pages, then documents, each followed by a reconcile of everything."""
    with local_stack(MODEL, reconcile_every_s=0) as stack:
        uploads = Uploads(stack)
        uploads.index({"warm-up.pdf": pages_of_words(1, WORDS)}, _TIMEOUT_S)
        _reconcile(stack)  # start its function
        _by_pages(report, options, uploads)
        _by_documents(report, options, uploads, stack)


def _by_pages(report: Report, options: Options, uploads: Uploads) -> None:
    sizes = SHORT_PAGES if options.short else PAGES
    a_page: dict[int, float] = {}
    with bar("pages", sum(repeats for _, repeats in sizes)) as step:
        for pages, repeats in sizes:
            body = pages_of_words(pages, WORDS)
            seconds = [_seconds(uploads, f"pages/{pages}-{i}.pdf", body, step) for i in range(repeats)]
            spread = Spread.of(seconds)
            name = f"{pages:,} page{'' if pages == 1 else 's'}"
            report.add_spread(f"{name}: upload to live", spread, "s")
            a_page[pages] = spread.median / pages
            report.add(f"{name}: a page", a_page[pages] * 1000, "ms")
    if MANY in a_page:
        growth = a_page[MANY] / a_page[FEW]
        report.add(f"a page of {MANY:,} over one of {FEW}", growth, "x", options.goal("<= 1.2"))
        body = pages_of_words(FULL_PAGES, FULL_WORDS)
        with bar("full pages", 1) as step:
            full = _seconds(uploads, "pages/full.pdf", body, step)
        name = f"{FULL_PAGES} pages of {FULL_WORDS} words: upload to live"
        report.add(name, full, "s", options.goal("<= 120"))


def _seconds(uploads: Uploads, key: str, body: bytes, step: Bar) -> float:
    return _all_indexed(uploads.index({key: body}, _TIMEOUT_S, step)).seconds


def _all_indexed(indexed: Indexed) -> Indexed:
    if indexed.not_indexed:
        raise RuntimeError(f"not indexed: {', '.join(indexed.not_indexed[:5])}")
    return indexed


def _by_documents(report: Report, options: Options, uploads: Uploads, stack: Stack) -> None:
    left, pace, before = DOCUMENTS_S, 0.0, 0
    for wanted in SHORT_DOCUMENTS if options.short else DOCUMENTS:
        count = min(wanted, int(left / pace)) if pace else wanted
        if count <= before:
            report.add(f"{wanted:,} documents: not measured, they do not fit into the time", wanted, "documents")
            continue
        with bar(f"{count:,} documents", count) as step:
            bodies = {f"many-{count}/{i:05}.pdf": pages_of_words(1, WORDS, str(i)) for i in range(count)}
            start = ProcessorTime.now()
            indexed = _all_indexed(uploads.index(bodies, _TIMEOUT_S, step))
            took = ProcessorTime.now().since(start, count)
        pace, left, before = indexed.seconds / count, left - indexed.seconds, count
        name = f"{count:,} documents" + ("" if count == wanted else f" (all that fit of {wanted:,})")
        report.add(f"{name}: upload to live", indexed.seconds, "s")
        goal = options.goal(">= 20") if count >= MANY_DOCUMENTS else None
        report.add(f"{name}: documents a second", count / indexed.seconds, "documents/s", goal)
        _add_processor_time(report, name, took)
        passes = [_reconcile(stack) for _ in range(1 if options.short else 3)]
        (_, keys, drift), spread = passes[0], Spread.of([seconds for seconds, _, _ in passes])
        report.add_spread(f"{keys:,} keys: reconcile", spread, "s")
        report.add(f"{keys:,} keys: reconcile, a key", spread.median / keys * 1000, "ms")
        report.add(f"{keys:,} keys: reconcile, drift found", drift, "keys", "== 0")


def _add_processor_time(report: Report, name: str, took: ProcessorTime) -> None:
    for kind in ("workers", "readers", "chroma", "stand_ins"):
        label = f"{name}: processor time of {kind.replace('_', '-')}, a document"
        report.add(label, getattr(took, kind) * 1000, "ms")
    report.add(f"{name}: documents a second without stand-ins, {CORES} cores", CORES / took.own, "documents/s")


def _reconcile(stack: Stack) -> tuple[float, int, int]:
    """Return seconds, keys and drift of a pass. Raises `RuntimeError` when it does not complete."""
    functions = stack.client("lambda", read_timeout=_RECONCILE_S, retries={"total_max_attempts": 1})
    started = time.monotonic()
    answer = functions.invoke(FunctionName=stack.reconcile_function, Payload=b'{"force": true}')
    found = json.loads(answer["Payload"].read())
    seconds = time.monotonic() - started
    if not found.get("complete"):
        raise RuntimeError(f"reconcile did not complete: {str(found)[:500]}")
    one = found["pipelines"][0]
    return seconds, one["keys"], sum(one["drift"].values())
