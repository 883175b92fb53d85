"""Tokens a second of the embedder, and of its runtimes on ready arrays, which are the limit.

All encode the same chunks of real PDFs with as many threads, in turns. Tokens include the special ones and exclude
padding.
"""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.speed.stack import Options, cut_pdfs, seconds_of
from docwell.adapters.embedding.model_manifest import MODEL_FILE
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener, threads_for
from docwell.config import EmbedRuntime, IngestSettings
from infra.local.stack import MODEL_DIR
from infra.measuring import Spread, in_turns, ratios
from infra.progress import bar
from infra.report import Report

# The batch of ingest.
BATCH = int(IngestSettings.model_fields["upsert_batch"].default)
# In the long and in the short form. onnxruntime encodes 256 chunks in 5 s on two cores.
CHUNKS, ROUNDS = (2 * BATCH, 32), (4, 2)
# The most chunks of one PDF, so that a long document is not the whole sample.
MOST_CHUNKS_OF_ONE = 32
# Ingest uses the last runtime. OpenVINO is not installed on ARM.
RUNTIMES: tuple[EmbedRuntime, ...] = ("onnxruntime", "openvino") if find_spec("openvino") else ("onnxruntime",)
BEST = RUNTIMES[-1]
_GOALS = {"openvino": ">= 97", "onnxruntime": ">= 95"}


def measure(report: Report, options: Options) -> None:
    threads = threads_for(None)
    embedders = {name: OnnxEmbedder(MODEL_DIR, threads, session_opener(name)) for name in RUNTIMES}
    texts = _texts(embedders[BEST], options)
    batches = [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]
    feeds = [feed for batch in batches for _, feed in embedders[BEST].feeds(batch)]
    tokens = sum(int(feed["attention_mask"].sum()) for feed in feeds)
    samplers = {}
    for runtime, embedder in embedders.items():
        samplers[f"docwell, {runtime}"] = partial(seconds_of, partial(_embed, embedder, batches))
        samplers[f"limit: raw {runtime}"] = partial(seconds_of, _raw(runtime, feeds, threads))
    for sampler in samplers.values():
        sampler()
    rounds = options.form(*ROUNDS)
    with bar("rounds of all ways", len(samplers) * rounds) as step:
        seconds = in_turns(samplers, rounds, step)
    report.add("chunks", len(texts), "chunks")
    report.add("tokens of a chunk, mean", tokens / len(texts), "tokens")
    report.add("threads", threads, "threads")
    for runtime in RUNTIMES:
        raw = [100 * sample for sample in seconds[f"limit: raw {runtime}"]]
        share = ratios(raw, seconds[f"docwell, {runtime}"])
        report.add_spread(f"docwell's speed of raw {runtime}'s", share, "%", options.goal(_GOALS[runtime]))
    for name, samples in seconds.items():
        report.add_spread(
            f"{name}: tokens a second", Spread.of([tokens / sample for sample in samples]), "tokens/s"
        )
    if BEST == "openvino":
        # Count in millionths: a table would show a cosine of 0.9999 as 1.
        single, fast = (embedder.embed_passages(texts[:BATCH]) for embedder in embedders.values())
        lacks = (1 - float(np.min(np.sum(single.astype(np.float64) * fast, axis=1)))) * 1e6
        report.add("lowest cosine to single precision: what it lacks to 1", lacks, "millionths", "<= 100")


def _texts(embedder: OnnxEmbedder, options: Options) -> list[str]:
    """Return some chunks of each PDF; if the PDFs are few, texts repeat."""
    chunks = cut_pdfs(options.pdfs("financebench", "xquad"), embedder, MOST_CHUNKS_OF_ONE)
    size = options.form(*CHUNKS)
    texts = [chunk.text for chunk, _ in islice(chunks, size)]
    return (texts * -(-size // len(texts)))[:size]


def _embed(embedder: OnnxEmbedder, batches: Sequence[Sequence[str]]) -> None:
    for batch in batches:
        embedder.embed_passages(batch)


def _raw(runtime: str, feeds: Sequence[Any], threads: int) -> Callable[[], object]:
    """Return a run of the bare runtime, as in its documentation, on the embedder's arrays."""
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
