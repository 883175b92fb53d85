"""PDFs from upload to live, beside LangChain and LlamaIndex on the same PDFs, model, threads and Chroma server.

docwell's PDFs go into the bucket of a local stack with two workers of one thread each, and the clock stops when
the ledger says of the last one that it is live. The others are scripts as their documentation shows, with two
threads; their imports, the loading of the model and a first batch are not counted. The PDFs are cut into three
slices of about as many pages; each slice is indexed by all of them in turns, into a collection of its own each.
Text that is indexed is text that the model has read, each character once: what a chunk has beyond the model's 256
tokens is in no vector.

Last, one long document is indexed by one worker with a clock at each of its stages. These overlap, as pages are
read and cut while others are encoded: their shares of the time are more than 100 % together.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pypdf

from benchmarks import peers
from benchmarks.peers.environment import model
from benchmarks.speed.filled_index import folders
from benchmarks.speed.ingest_profile import profile
from benchmarks.speed.options import Options, TooFewPdfsError
from benchmarks.speed.uploads import MODEL, Uploads
from docwell.config import IngestLimits
from infra.local.stack import Stack
from infra.local.supervisor import running_stack
from infra.measuring import Spread, in_turns, ratios
from infra.report import ROOT, Report

SETS = ("financebench", "xquad")
EXAMPLES = ROOT / "examples"
PEERS = ("langchain", "llamaindex")
SLICES = 3
# Of the examples: 10 s of the short form.
SHORT_PDFS = 4
THREADS = 2
# All encoders together have as many threads as a peer's one.
ENVIRONMENT = {"DOCWELL_EMBED_THREADS": "1"}
WORKERS = 2
_NAMES = {"docwell": "docwell", "langchain": "LangChain", "llamaindex": "LlamaIndex"}
_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the PDFs."""

    pdfs: tuple[Path, ...]
    pages: int


@dataclass(frozen=True, slots=True)
class Came:
    """What one way made of one slice. `characters` are those that the model has read."""

    seconds: float
    pages: int
    chunks: int
    characters: int
    failed: int


@dataclass
class _Ways:
    """Each way to index a slice, and what came of it; `turn` says which slice is next for whom."""

    stack: Stack
    slices: Sequence[Slice]
    came: dict[str, list[Came]] = field(default_factory=dict)

    def way(self, name: str) -> Callable[[], float]:
        """A function that indexes the next slice and gives characters a second."""
        results = self.came.setdefault(name, [])

        def one() -> float:
            turn = len(results)
            came = (self._docwell if name == "docwell" else self._peer)(name, turn)
            results.append(came)
            return came.characters / came.seconds

        return one

    def _docwell(self, name: str, turn: int) -> Came:
        bodies = {
            f"{name}-{turn}/{number:03}-{pdf.name}": pdf for number, pdf in enumerate(self.slices[turn].pdfs)
        }
        done = Uploads(self.stack).index(bodies, _TIMEOUT_S)
        return Came(done.seconds, done.pages, done.chunks, done.characters, len(done.not_indexed))

    def _peer(self, name: str, turn: int) -> Came:
        chroma = httpx.URL(self.stack.chroma)
        answer = peers.run(
            "ingest",
            framework=name,
            pdfs=[str(pdf.absolute()) for pdf in self.slices[turn].pdfs],
            chroma_host=chroma.host,
            chroma_port=chroma.port,
            collection=f"bench-{name}-{turn}",
            model=str(model()),
            threads=THREADS,
        )
        return Came(
            answer["seconds"],
            answer["pages"],
            answer["chunks"],
            answer["characters_read"],
            len(answer.get("failed", [])),
        )


def measure(report: Report, options: Options) -> None:
    """All ways on each slice, then the profile."""
    pdfs = _pdfs(options)
    slices = slices_of(pdfs, 1 if options.short else SLICES)
    report.add("PDFs", sum(len(one.pdfs) for one in slices), "PDFs")
    report.add("pages of them", sum(one.pages for one in slices), "pages")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(
            Path(folder), MODEL, environment=ENVIRONMENT, ingest_workers=WORKERS, reconcile_every_s=0
        ) as stack,
    ):
        Uploads(stack).index({f"warm-up/{i}.pdf": pdfs[0] for i in range(WORKERS)}, _TIMEOUT_S)
        ways = _Ways(stack, slices)
        names = ("docwell", *(PEERS if options.peers else ()))
        with options.progress("slices", len(names) * len(slices)) as tick:
            speeds = in_turns({name: ways.way(name) for name in names}, len(slices), tick)
        for name in names:
            _add_way(report, _NAMES[name], ways.came[name], speeds[name])
        if options.peers:
            _add_comparison(report, options, speeds)
        longest = max(pdfs, key=_page_count)
        _add_profile(report, options, stack, longest)


def _add_way(report: Report, name: str, came: Sequence[Came], speeds: Sequence[float]) -> None:
    pages = Spread.of([one.pages / one.seconds for one in came])
    chunks = Spread.of([one.chunks / one.seconds for one in came])
    report.add_spread(f"{name}: pages a second", pages, "pages/s")
    report.add_spread(f"{name}: chunks a second", chunks, "chunks/s")
    report.add_spread(f"{name}: characters a second", Spread.of(speeds), "characters/s")
    report.add(f"{name}: characters that are in a vector", sum(one.characters for one in came), "characters")
    report.add(f"{name}: PDFs that it did not index", sum(one.failed for one in came), "PDFs")


def _add_comparison(report: Report, options: Options, speeds: dict[str, list[float]]) -> None:
    for name in PEERS:
        spread = ratios(speeds["docwell"], speeds[name])
        report.add_spread(f"docwell's characters a second over {_NAMES[name]}'s", spread, "x")
    faster = [max(slice_) for slice_ in zip(*(speeds[name] for name in PEERS), strict=True)]
    spread = ratios(speeds["docwell"], faster)
    report.add_spread("docwell's over those of the faster one", spread, "x", options.goal(">= 3"))


def _add_profile(report: Report, options: Options, stack: Stack, pdf: Path) -> None:
    """Of one document's time, the share in which each stage is at work; they overlap.

    Of a document that is shorter than a range much is its beginning and its end: that is not judged.
    """
    seen = profile(stack, pdf)
    long = seen.pages > IngestLimits().range_pages
    report.add(f"one worker, {seen.pages} pages", seen.seconds, "s")
    for stage in sorted(seen.stages, key=seen.share, reverse=True):
        goal = options.goal(">= 90") if stage == "encode" and long else None
        report.add(f"one worker, {stage}", seen.share(stage) * 100, "% of the time", goal)


def _pdfs(options: Options) -> list[Path]:
    """Those given, else the evaluation set's, else the examples; few of the examples in the short form."""
    if options.short and not options.pdfs:
        options.console.print("short: some of the example PDFs")
        return sorted(EXAMPLES.rglob("*.pdf"))[:SHORT_PDFS]
    where, called = folders(options.pdfs, SETS)
    options.console.print(f"texts: {called}")
    found = sorted(path for folder in where for path in folder.rglob("*.pdf"))
    if not found:
        raise TooFewPdfsError(f"no PDF in {', '.join(map(str, where))}")
    return found


def slices_of(pdfs: Sequence[Path], count: int) -> list[Slice]:
    """About as many pages in each: the longest PDF first, each to the slice that has least."""
    slices = [Slice((), 0)] * min(count, len(pdfs))
    for pages, pdf in sorted(((_page_count(pdf), pdf) for pdf in pdfs), reverse=True):
        least = min(range(len(slices)), key=lambda which: slices[which].pages)
        slices[least] = Slice((*slices[least].pdfs, pdf), slices[least].pages + pages)
    return slices


def _page_count(pdf: Path) -> int:
    try:
        return len(pypdf.PdfReader(pdf).pages)
    except Exception:  # noqa: BLE001 - pypdf raises anything for a PDF that it cannot read
        return 1
