"""Tokens a second of the embedder, of its runtimes on ready arrays, and of sentence-transformers.

All encode the same chunks of real PDFs with the same model and as many threads, in turns. Tokens include the
special ones and exclude padding.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.run import model, run, versions
from benchmarks.reading import default_reader
from benchmarks.speed.options import BenchError, Options
from docwell.adapters.embedding.model_manifest import MODEL_FILE
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener, threads_for
from docwell.config import EmbedderSettings, EmbedRuntime, IngestSettings
from docwell.ingest.chunking import chunk_pages
from infra.local.stack import MODEL_DIR
from infra.measuring import Spread, in_turns, ratios
from infra.progress import bar
from infra.report import Report

# The batch of ingest.
BATCH = int(IngestSettings.model_fields["upsert_batch"].default)
CHUNK_TOKENS = int(EmbedderSettings.model_fields["chunk_tokens"].default)
# Sized for two cores: onnxruntime encodes 256 chunks in 5 s, and each round loads the peers again.
BATCHES, ROUNDS = 2, 4
SHORT_CHUNKS, SHORT_ROUNDS = 32, 2
# The most from one PDF, so that a long one is not the whole sample.
MOST_CHUNKS_OF_ONE = 32
# Ingest runs the last one. OpenVINO is not installed on ARM.
RUNTIMES: tuple[EmbedRuntime, ...] = ("onnxruntime", "openvino") if find_spec("openvino") else ("onnxruntime",)
BEST = RUNTIMES[-1]
# With its defaults, and with its best documented settings for a processor.
PEERS = {"sentence-transformers (torch)": False, "sentence-transformers (OpenVINO)": True}

Way = Callable[[], object]
Feed = dict[str, NDArray[np.int64]]


def measure(report: Report, options: Options) -> None:
    threads = threads_for(None)
    embedders = {name: OnnxEmbedder(MODEL_DIR, threads, session_opener(name)) for name in RUNTIMES}
    texts = _texts(embedders[BEST], options)
    batches = [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]
    feeds = [feed for batch in batches for _, feed in embedders[BEST].feeds(batch)]
    tokens = sum(int(feed["attention_mask"].sum()) for feed in feeds)
    ways: dict[str, Callable[[], float]] = {}
    for runtime, embedder in embedders.items():
        ways[f"docwell, {runtime}"] = _timed(partial(_embed, embedder, batches))
        ways[f"raw {runtime}"] = _timed(_raw(runtime, feeds, threads))
    report.add("chunks", len(texts), "chunks")
    report.add("tokens of a chunk, mean", tokens / len(texts), "tokens")
    report.add("threads", threads, "threads")
    with tempfile.TemporaryDirectory() as folder:
        if options.peers:
            report.notes.append(versions())
            ways |= _peers(Path(folder), texts, threads)
        rounds = SHORT_ROUNDS if options.short else ROUNDS
        with bar("rounds of all ways", len(ways) * rounds) as step:
            seconds = in_turns(ways, rounds, step)
    _add_comparison(report, options, seconds)
    for name, samples in seconds.items():
        label = "docwell" if name == f"docwell, {BEST}" else f"limit: {name}" if name.startswith("raw") else name
        report.add_spread(f"{label}: tokens a second", Spread.of([tokens / one for one in samples]), "tokens/s")
    if BEST == "openvino":
        # In millionths: a table shows a cosine of 0.9999 as 1.
        one, other = (embedder.embed_passages(texts[:BATCH]) for embedder in embedders.values())
        lacks = (1 - float(np.min(np.sum(one.astype(np.float64) * other, axis=1)))) * 1e6
        report.add("lowest cosine to single precision: what it lacks to 1", lacks, "millionths", "<= 100")


def raw_characters(options: Options, threads: int) -> Spread:
    """Return the characters a second of the best runtime alone, on chunks of the PDFs as ready arrays."""
    embedder = OnnxEmbedder(MODEL_DIR, threads, session_opener(BEST))
    texts = _texts(embedder, options)
    timed = _timed(_raw(BEST, [feed for _, feed in embedder.feeds(texts)], threads))
    return Spread.of([sum(map(len, texts)) / timed() for _ in range(ROUNDS)])


def _texts(embedder: OnnxEmbedder, options: Options) -> list[str]:
    """Return some chunks of each PDF. Raises `BenchError` where there are none."""
    folders = options.folders("financebench", "xquad")
    wanted = SHORT_CHUNKS if options.short else BATCHES * BATCH
    paths = sorted(path for folder in folders for path in folder.rglob("*.pdf"))
    found = list(islice((text for path in paths for text in _chunks(embedder, path)), wanted))
    if not found:
        raise BenchError(f"no text in any PDF of {', '.join(map(str, folders))}")
    return (found * -(-wanted // len(found)))[:wanted]  # repeat the texts of few PDFs


def _chunks(embedder: OnnxEmbedder, path: Path) -> Iterator[str]:
    reader = default_reader()
    pages = reader.pages(path, 1, min(reader.inspect(path).page_count, MOST_CHUNKS_OF_ONE))
    return (chunk.text for chunk in islice(chunk_pages(pages, embedder, CHUNK_TOKENS), MOST_CHUNKS_OF_ONE))


def _timed(way: Way) -> Callable[[], float]:
    """Run once now, uncounted; return a function that times further runs."""
    way()

    def timed() -> float:
        started = time.perf_counter()
        way()
        return time.perf_counter() - started

    return timed


def _embed(embedder: OnnxEmbedder, batches: Sequence[Sequence[str]]) -> None:
    for batch in batches:
        embedder.embed_passages(batch)


def _raw(runtime: str, feeds: Sequence[Feed], threads: int) -> Way:
    """Return a run of the runtime itself, as its documentation shows, on the embedder's arrays."""
    path = str(MODEL_DIR / MODEL_FILE)
    if runtime == "openvino":
        import openvino

        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
        return lambda: [request.infer(feed, share_inputs=True) for feed in feeds]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: [session.run(None, feed) for feed in feeds]


def _peers(folder: Path, texts: Sequence[str], threads: int) -> dict[str, Callable[[], float]]:
    """Return runs of the peer; each starts a process, and the second of its two passes counts."""
    texts_file, folder_of_model = folder / "texts.json", str(model())
    texts_file.write_text(json.dumps(texts), encoding="utf-8")

    def encode(*, best: bool) -> float:
        answer = run("encode", threads=threads, model=folder_of_model, texts_file=str(texts_file), best=best)
        return float(answer["seconds"])

    return {name: partial(encode, best=best) for name, best in PEERS.items()}


def _add_comparison(report: Report, options: Options, seconds: dict[str, list[float]]) -> None:
    """Add the ratios, the less flattering first: to the limit, the peer's best settings, and its defaults."""
    for runtime in RUNTIMES:
        goal = options.goal(">= 97" if runtime == "openvino" else ">= 95")
        share = ratios([100 * one for one in seconds[f"raw {runtime}"]], seconds[f"docwell, {runtime}"])
        report.add_spread(f"docwell's speed of raw {runtime}'s", share, "%", goal)
    own, precision = seconds[f"docwell, {BEST}"], _precision()
    best = f"docwell ({BEST} in {precision})"
    if options.peers:
        goal = ">= 3" if precision == "bf16" else ">= 1.5"
        for name, fast in sorted(PEERS.items(), key=lambda one: not one[1]):
            over = ratios(seconds[name], own)
            report.add_spread(f"{best} over {name}", over, "x", None if fast else options.goal(goal))
    if BEST != "onnxruntime":
        report.add_spread(f"{best} over onnxruntime", ratios(seconds["docwell, onnxruntime"], own), "x")


def _precision() -> str:
    if BEST != "openvino":
        return "f32"
    from docwell.adapters.embedding.openvino_session import native_precision

    return native_precision()
