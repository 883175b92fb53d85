"""PDFs from upload to live, beside LangChain and LlamaIndex on the same PDFs, model, threads and Chroma server.

docwell's PDFs go into the bucket of a local stack with two workers of one thread each, and the clock stops when
the ledger shows the last one live. The peers are scripts with two threads; their imports, model loading and a
first batch do not count. The PDFs are divided into three slices of about as many pages. All index each slice in
turns, each into its own collection. A character counts once it has been read by the model, and only once: text
of a chunk beyond the model's 256 tokens is in no vector. The peers run with their defaults, and with their best
documented settings. The limits of the machine are PDFium alone, and the encoder's runtime alone.

Last, one worker indexes one long document, and the row says in what share of the time it encodes.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pypdf
import pypdfium2

from benchmarks.doors import local_stack
from benchmarks.functions import CREATED, ingest_handler, notification, sqs_event
from benchmarks.pdfs import pages_of_words
from benchmarks.peers.run import BEST, DEFAULTS, FRAMEWORKS, run_framework, versions
from benchmarks.retrieval.measures import length, merged
from benchmarks.speed.encode import BEST as RUNTIME
from benchmarks.speed.encode import raw_characters
from benchmarks.speed.options import BenchError, Options
from benchmarks.speed.uploads import MODEL, Uploads
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.config import IngestSettings
from infra.local.names import LEDGER_TABLE
from infra.local.stack import Stack, function_variables
from infra.measuring import Spread, in_turns, ratios
from infra.progress import bar
from infra.report import ROOT, Report

SLICES = 3
# Of the examples, in the short form: 10 s.
SHORT_PDFS = 4
THREADS = 2
# All encoders together have as many threads as a peer's one.
ENVIRONMENT = {"DOCWELL_EMBED_THREADS": "1"}
WORKERS = 2
_RANGE_PAGES = int(IngestSettings.model_fields["range_pages"].default)
_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the PDFs."""

    pdfs: tuple[Path, ...]
    pages: int


class _Done(NamedTuple):
    """One slice indexed in one way. `characters` are those that the model has read."""

    seconds: float
    pages: int
    chunks: int
    characters: int
    failed: int


Way = Callable[[int, Slice], _Done]


def _docwell(stack: Stack) -> Way:
    def index(turn: int, slice_: Slice) -> _Done:
        bodies = {f"docwell-{turn}/{number:03}-{pdf.name}": pdf for number, pdf in enumerate(slice_.pdfs)}
        done = Uploads(stack).index(bodies, _TIMEOUT_S)
        pages, chunks, characters = (done.total(field) for field in ("pages", "chunks", "characters"))
        return _Done(done.seconds, pages, chunks, characters, len(done.not_indexed))

    return index


def _peer(stack: Stack, name: str) -> Way:
    def index(turn: int, slice_: Slice) -> _Done:
        pdfs = [str(pdf.absolute()) for pdf in slice_.pdfs]
        collection = f"bench-{''.join(filter(str.isalnum, name))}-{turn}"
        answer = run_framework(stack, name, collection, pdfs=pdfs, threads=THREADS)
        counts = (answer["pages"], answer["chunks"], answer["characters"])
        return _Done(answer["seconds"], *counts, len(answer["failed"]))

    return index


def measure(report: Report, options: Options) -> None:
    """Index each slice in all ways, then the longest document by one worker."""
    pdfs = _pdfs(options)
    slices = slices_of(pdfs, 1 if options.short else SLICES)
    report.add("PDFs", sum(len(one.pdfs) for one in slices), "PDFs")
    report.add("pages of them", sum(one.pages for one in slices), "pages")
    with local_stack(MODEL, environment=ENVIRONMENT, ingest_workers=WORKERS, reconcile_every_s=0) as stack:
        Uploads(stack).index({f"warm-up/{i}.pdf": pdfs[0] for i in range(WORKERS)}, _TIMEOUT_S)
        ways = {"docwell": _docwell(stack)}
        if options.peers:
            ways |= {name: _peer(stack, name) for name in FRAMEWORKS}
        done: dict[str, list[_Done]] = {name: [] for name in ways}

        def index(name: str) -> float:
            """Index the next slice; return characters a second."""
            turn = len(done[name])
            done[name].append(ways[name](turn, slices[turn]))
            return done[name][-1].characters / done[name][-1].seconds

        with bar("slices", len(ways) * len(slices)) as step:
            speeds = in_turns({name: partial(index, name) for name in ways}, len(slices), step)
        if options.peers:
            report.notes.append(versions())
            _add_comparison(report, options, speeds)
        for name in ways:
            _add_way(report, name, done[name], speeds[name])
        raw = raw_characters(options, THREADS)
        report.add_spread(f"limit: raw {RUNTIME} alone, characters a second", raw, "characters/s")
        report.add_spread("limit: PDFium alone, characters a second", _extracted(slices), "characters/s")
        _add_share(report, options, stack, max(pdfs, key=_page_count))


def _add_comparison(report: Report, options: Options, speeds: dict[str, list[float]]) -> None:
    """Add the ratios, the less flattering first: to the peers' best settings, then to their defaults."""
    for names, settings, goal in ((BEST, "best settings", ">= 2"), (DEFAULTS, "defaults", ">= 4")):
        faster = [max(slice_) for slice_ in zip(*(speeds[name] for name in names), strict=True)]
        metric = f"docwell's characters a second over the faster peer's, {settings}"
        report.add_spread(metric, ratios(speeds["docwell"], faster), "x", options.goal(goal))


def _extracted(slices: Sequence[Slice]) -> Spread:
    """Return the characters a second of PDFium's text extraction in one process, slice by slice."""
    speeds = []
    for slice_ in slices:
        characters, started = 0, time.perf_counter()
        for pdf in slice_.pdfs:
            with suppress(pypdfium2.PdfiumError), closing(pypdfium2.PdfDocument(pdf)) as document:
                characters += sum(len(page.get_textpage().get_text_range()) for page in document)
        speeds.append(characters / (time.perf_counter() - started))
    return Spread.of(speeds)


def _add_way(report: Report, name: str, done: Sequence[_Done], speeds: Sequence[float]) -> None:
    report.add_spread(f"{name}: pages a second", Spread.of([one.pages / one.seconds for one in done]), "pages/s")
    chunks = Spread.of([one.chunks / one.seconds for one in done])
    report.add_spread(f"{name}: chunks a second", chunks, "chunks/s")
    report.add_spread(f"{name}: characters a second", Spread.of(speeds), "characters/s")
    report.add(f"{name}: characters that are in a vector", sum(one.characters for one in done), "characters")
    report.add(f"{name}: PDFs that it did not index", sum(one.failed for one in done), "PDFs")


def _add_share(report: Report, options: Options, stack: Stack, pdf: Path) -> None:
    """Only a document longer than a range is judged: a short one spends much time on its start and end."""
    seconds, share = encode_share(stack, pdf)
    pages = _page_count(pdf)
    report.add(f"one worker, {pages} pages", seconds, "s")
    goal = options.goal(">= 90") if pages > _RANGE_PAGES else None
    report.add("one worker, encode", share * 100, "% of the time", goal)


def _pdfs(options: Options) -> list[Path]:
    """Return the PDFs given, else the evaluation set's, else the examples; the short form takes few examples."""
    if options.short and not options.pdfs:
        return sorted((ROOT / "examples").rglob("*.pdf"))[:SHORT_PDFS]
    folders = options.folders("financebench", "xquad")
    found = sorted(path for folder in folders for path in folder.rglob("*.pdf"))
    if not found:
        raise BenchError(f"no PDF in {', '.join(map(str, folders))}")
    return found


def slices_of(pdfs: Sequence[Path], count: int) -> list[Slice]:
    """Divide the PDFs into slices of about as many pages: the longest first, each to the smallest slice."""
    slices = [Slice((), 0)] * min(count, len(pdfs))
    for pages, pdf in sorted(((_page_count(pdf), pdf) for pdf in pdfs), reverse=True):
        least = min(range(len(slices)), key=lambda which: slices[which].pages)
        slices[least] = Slice((*slices[least].pdfs, pdf), slices[least].pages + pages)
    return slices


def _page_count(pdf: Path) -> int:
    try:
        return len(pypdf.PdfReader(pdf).pages)
    except Exception:  # noqa: BLE001 - pypdf raises any exception for a PDF that it cannot read
        return 1


# A bucket and a queue that no worker of the stack reads.
_NAME = "docwell-encode-share"


def encode_share(stack: Stack, pdf: Path) -> tuple[float, float]:
    """Index one PDF, range after range; return the seconds, and the share (0 to 1) with the encoder at work.

    Raises `RuntimeError` where the document is not indexed.
    """
    s3, sqs = stack.client("s3"), stack.client("sqs")
    s3.create_bucket(Bucket=_NAME)
    s3.put_bucket_versioning(Bucket=_NAME, VersioningConfiguration={"Status": "Enabled"})
    queue = sqs.create_queue(QueueName=_NAME)["QueueUrl"]
    variables = function_variables(stack, "docwell-ingest") | {"DOCWELL_BUCKET": _NAME, "DOCWELL_QUEUE_URL": queue}
    spans: list[tuple[float, float]] = []
    embed = OnnxEmbedder.embed_passages

    def timed(self: OnnxEmbedder, texts: Sequence[str]) -> Any:
        started = time.perf_counter()
        try:
            return embed(self, texts)
        finally:
            spans.append((started, time.perf_counter()))

    with patch.object(OnnxEmbedder, "embed_passages", timed), ingest_handler(variables) as handle:

        def index(key: str, body: bytes) -> float:
            s3.put_object(Bucket=_NAME, Key=key, Body=body)
            bodies = [notification(CREATED, _NAME, key)]
            started = time.perf_counter()
            while bodies:
                for one in bodies:
                    if not handle(sqs_event(one)):
                        raise RuntimeError(f"{key}: a message failed")
                bodies = _received(sqs, queue)
            return time.perf_counter() - started

        index("warm-up.pdf", pages_of_words(1, 150))
        spans.clear()
        seconds = index(pdf.name, pdf.read_bytes())
    rows = stack.client("dynamodb").query(
        TableName=LEDGER_TABLE,
        KeyConditionExpression="document = :key",
        ExpressionAttributeValues={":key": {"S": pdf.name}},
    )["Items"]
    if not any(row.get("status") == {"S": "INDEXED"} for row in rows):
        raise RuntimeError(f"{pdf.name} is not indexed: {rows}")
    return seconds, length(merged(spans)) / seconds


def _received(sqs: Any, queue: str) -> list[str]:
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return [message["Body"] for message in messages]
