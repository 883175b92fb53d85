"""`bench-encode`: tokens a second of the embedder, of its runtimes fed with ready arrays, and of others.

All encode the same chunks of real PDFs with the same model and as many threads, in turns. Tokens are those of the
texts, the special ones included and padding not, so a way that pads more is slower by that.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks import peers
from benchmarks.reading import default_reader
from benchmarks.speed.filled_index import folders
from benchmarks.speed.options import Options, TooFewPdfsError
from benchmarks.speed.processor_peak import peak_flops, work_of
from benchmarks.speed.raw_sessions import Feed, raw_onnxruntime, raw_openvino
from docwell.adapters.embedding.model_manifest import MODEL_FILE
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener, threads_for
from docwell.config import EmbedderSettings, EmbedRuntime, IngestSettings
from docwell.ingest.chunking import chunk_pages
from infra.local.stack import MODEL_DIR
from infra.measuring import Spread, in_turns, ratios
from infra.report import Report

SETS = ("financebench", "xquad")
# As many at a time as ingest embeds.
BATCH = int(IngestSettings.model_fields["upsert_batch"].default)
CHUNK_TOKENS = int(EmbedderSettings.model_fields["chunk_tokens"].default)
# Sized for two cores: of 256 chunks onnxruntime makes vectors in 5 s, and the peers are loaded anew each round.
BATCHES, ROUNDS = 2, 4
SHORT_CHUNKS, SHORT_ROUNDS = 32, 2
# From one PDF, so that no long one is all there is.
MOST_CHUNKS_OF_ONE = 32
# The last is what ingest runs. OpenVINO is not installed on ARM.
RUNTIMES: tuple[EmbedRuntime, ...] = ("onnxruntime", "openvino") if find_spec("openvino") else ("onnxruntime",)
BEST = RUNTIMES[-1]
PEERS = {"torch": "sentence-transformers (torch)", "onnx": "sentence-transformers (ONNX)"}


def measure(report: Report, options: Options) -> None:
    """Load all that is there, then encode in turns."""
    threads = threads_for(None)
    embedders: dict[str, OnnxEmbedder] = {
        name: OnnxEmbedder(MODEL_DIR, threads, session_opener(name)) for name in RUNTIMES
    }
    texts = _texts(embedders[BEST], options)
    ways: dict[str, Callable[[], float]] = {}
    for name, embedder in embedders.items():
        ways[f"docwell, {name}"] = _timed(_embedding(embedder, texts))
        ways[f"raw {name}"] = _timed(_raw(name, embedder, texts, threads))
    lengths = _lengths(embedders[BEST], texts)
    tokens = sum(lengths)
    report.add("chunks", len(texts), "chunks")
    report.add("tokens of a chunk, mean", tokens / len(texts), "tokens")
    report.add("threads", threads, "threads")
    with tempfile.TemporaryDirectory() as folder:
        if options.peers:
            ways |= _peers(Path(folder), texts, threads)
        rounds = SHORT_ROUNDS if options.short else ROUNDS
        with options.progress("rounds of all ways", len(ways) * rounds) as tick:
            seconds = in_turns(ways, rounds, tick)
    for name, samples in seconds.items():
        label = "docwell" if name == f"docwell, {BEST}" else name
        report.add_spread(f"{label}: tokens a second", Spread.of([tokens / one for one in samples]), "tokens/s")
    precision = _precision()
    _add_comparison(report, options, seconds, precision)
    if BEST == "openvino":
        _add_share_of_peak(report, lengths, min(seconds[f"docwell, {BEST}"]), threads, precision)
        _add_cosine(report, embedders, texts)


def _precision() -> str:
    if BEST != "openvino":
        return "f32"
    from docwell.adapters.embedding.openvino_session import native_precision

    return native_precision()


def _texts(embedder: OnnxEmbedder, options: Options) -> list[str]:
    """Chunks of the PDFs given, else of the evaluation set's, else of the examples, some of each PDF."""
    where, called = folders(options.pdfs, SETS)
    options.console.print(f"texts: {called}")
    wanted = SHORT_CHUNKS if options.short else BATCHES * BATCH
    paths = sorted(path for folder in where for path in folder.rglob("*.pdf"))
    found = list(islice((text for path in paths for text in _chunks(embedder, path)), wanted))
    if not found:
        raise TooFewPdfsError(f"no text in any PDF of {', '.join(map(str, where))}")
    # Of few PDFs all is repeated: other words would take as long.
    return (found * -(-wanted // len(found)))[:wanted]


def _chunks(embedder: OnnxEmbedder, path: Path) -> Iterator[str]:
    reader = default_reader()
    pages = reader.pages(path, 1, min(reader.inspect(path).page_count, MOST_CHUNKS_OF_ONE))
    chunks = chunk_pages(pages, embedder, CHUNK_TOKENS)
    return (chunk.text for chunk in islice(chunks, MOST_CHUNKS_OF_ONE))


def _timed(way: Callable[[], object]) -> Callable[[], float]:
    """Run once now, uncounted, and timed from then on."""
    way()

    def timed() -> float:
        started = time.perf_counter()
        way()
        return time.perf_counter() - started

    return timed


def _embedding(embedder: OnnxEmbedder, texts: Sequence[str]) -> Callable[[], None]:
    def embed() -> None:
        for first in range(0, len(texts), BATCH):
            embedder.embed_passages(texts[first : first + BATCH])

    return embed


def _raw(runtime: str, embedder: OnnxEmbedder, texts: Sequence[str], threads: int) -> Callable[[], None]:
    """The runtime itself on the arrays that the embedder would make: no text is read, no vector is moved."""
    feeds = [feed for _, feed in _feeds(embedder, texts)]
    run = (raw_openvino if runtime == "openvino" else raw_onnxruntime)(MODEL_DIR / MODEL_FILE, threads)

    def encode() -> None:
        for feed in feeds:
            run(feed)

    return encode


def _feeds(embedder: OnnxEmbedder, texts: Sequence[str]) -> Iterator[tuple[list[int], Feed]]:
    for first in range(0, len(texts), BATCH):
        yield from embedder.feeds(texts[first : first + BATCH])


def _lengths(embedder: OnnxEmbedder, texts: Sequence[str]) -> list[int]:
    return [int(length) for _, feed in _feeds(embedder, texts) for length in feed["attention_mask"].sum(axis=1)]


def _peers(folder: Path, texts: Sequence[str], threads: int) -> dict[str, Callable[[], float]]:
    """Each round loads them anew, runs once uncounted, and gives the time of the second run."""
    texts_file = folder / "texts.json"
    texts_file.write_text(json.dumps(texts), encoding="utf-8")
    model = peers.model()

    def way(backend: str) -> Callable[[], float]:
        def one() -> float:
            answer = peers.run(
                "encode",
                model=str(model),
                texts_file=str(texts_file),
                threads=threads,
                backend=backend,
            )
            return float(answer["seconds"])

        return one

    return {name: way(backend) for backend, name in PEERS.items()}


def _add_comparison(report: Report, options: Options, seconds: dict[str, list[float]], precision: str) -> None:
    for runtime in RUNTIMES:
        share = ratios(seconds[f"raw {runtime}"], seconds[f"docwell, {runtime}"])
        percent = Spread(share.median * 100, share.low * 100, share.high * 100, share.repeats)
        report.add_spread(f"docwell's speed of raw {runtime}'s", percent, "%", options.goal(">= 95"))
    own = seconds[f"docwell, {BEST}"]
    best = f"{BEST} in {precision}"
    if BEST != "onnxruntime":
        report.add_spread(f"docwell ({best}) over onnxruntime", ratios(seconds["docwell, onnxruntime"], own), "x")
    if options.peers:
        goal = ">= 3" if precision == "bf16" else ">= 1.5"
        torch, onnx = (ratios(seconds[name], own) for name in PEERS.values())
        report.add_spread(f"docwell ({best}) over {PEERS['torch']}", torch, "x", options.goal(goal))
        report.add_spread(f"docwell ({best}) over {PEERS['onnx']}", onnx, "x")


def _add_share_of_peak(
    report: Report, lengths: Sequence[int], seconds: float, threads: int, precision: str
) -> None:
    done = work_of(MODEL_DIR / MODEL_FILE, lengths) / seconds
    peak = peak_flops(precision, threads)
    report.add("docwell: products of matrices", done / 1e9, "GFLOP/s")
    report.add(f"the processor's most, measured, {precision}", peak / 1e9, "GFLOP/s")
    report.add("share of the most", done / peak * 100, "%")


def _add_cosine(report: Report, embedders: dict[str, OnnxEmbedder], texts: Sequence[str]) -> None:
    """In millionths, because a cosine of 0.9999 in a table looks like 1."""
    one, other = (embedder.embed_passages(texts[:BATCH]) for embedder in embedders.values())
    lowest = float(np.min(np.sum(one.astype(np.float64) * other, axis=1)))
    report.add("lowest cosine to single precision: what it lacks to 1", (1 - lowest) * 1e6, "millionths", "<= 100")
