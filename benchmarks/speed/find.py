"""A question embedded and its nearest five chunks found, beside the bare retrievers of LangChain and LlamaIndex.

docwell is measured in three ways: a search over HTTP with the stand-ins of AWS, the same search by the function's
clock, which checks grants and live generations and ranks, and its embedder and index alone, as a retriever does.
The peers search the same vectors and texts in a collection of the same Chroma server. All embed with two threads,
but docwell's function has the one thread that its memory brings. Each way gets the same questions in a round, and
no question comes twice. The limits of the machine are the runtime on ready arrays and Chroma's own client.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import chromadb

from benchmarks.doors import local_stack
from benchmarks.faults.compare import SHARDS, PipelinePlace
from benchmarks.peers.run import BEST, DEFAULTS, FRAMEWORKS, run_framework, versions
from benchmarks.speed.filled_index import BATCH, FilledCollection, Texts
from benchmarks.speed.options import BenchError, Options
from benchmarks.speed.uploads import CHUNK_TOKENS, MODEL
from docwell.adapters.chroma import ChromaIndex
from docwell.adapters.chroma_layout import Layout
from docwell.adapters.chroma_server import ChromaServer
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.config import QuerySettings
from docwell.wiring.stores import server_auth
from infra.local.stack import MODEL_DIR, Stack
from infra.measuring import Spread, in_turns, ratios
from infra.progress import bar
from infra.report import Report

CHUNKS, SHORT_CHUNKS = 10_000, 1_000
ROUNDS, QUESTIONS = 4, 60
SHORT_ROUNDS, SHORT_QUESTIONS = 2, 10
# Before each round, as a peer's process is new in each.
WARM_UP = 10
TOP_K = 5
THREADS = 2
_TIMEOUT_S = 60.0
_OWN = "docwell with grants, live generations and ranking"
_BARE = "docwell, embedder and index alone"

Ask = Callable[[Sequence[str]], list[float]]


def measure(report: Report, options: Options) -> None:
    """Fill a collection for docwell and one for the peers, then ask in turns. Raises `BenchError`, `PeerError`."""
    rounds = SHORT_ROUNDS if options.short else ROUNDS
    texts = Texts.read(options.folders("xquad"), 100 if options.short else 1_000)
    questions = list(dict.fromkeys(texts.questions))
    size = round_size(len(questions), rounds, SHORT_QUESTIONS if options.short else QUESTIONS)
    warm_up, asked = questions[:WARM_UP], questions[WARM_UP:]
    chunks = SHORT_CHUNKS if options.short else CHUNKS
    with local_stack(MODEL, ingest_workers=1, reconcile_every_s=0) as stack:
        with bar("filling", -(-chunks // BATCH)) as step:
            filled = FilledCollection(stack, texts, chunks, step)
        peer = _copied(stack, filled)
        ways = _ways(stack, filled.name, peer, warm_up)
        if options.peers:
            ways |= {name: partial(_peer, stack, name, peer.name, warm_up) for name in FRAMEWORKS}
        turns = {name: iter(range(rounds)) for name in ways}

        def median_of_round(name: str) -> float:
            turn = next(turns[name])
            return statistics.median(ways[name](asked[turn * size : (turn + 1) * size])) * 1000

        with bar("rounds", rounds * len(ways)) as step:
            medians = in_turns({name: partial(median_of_round, name) for name in ways}, rounds, step)
    if options.peers:
        report.notes.append(versions())
        _add_comparison(report, options, medians)
    report.add("questions of a round", size, "questions")
    for name, samples in medians.items():
        report.add_spread(f"{name}, {chunks:,} chunks: p50", Spread.of(samples), "ms")


def round_size(questions: int, rounds: int, most: int) -> int:
    """Return how many questions a round has, so that none comes twice. Raises `BenchError` where they are too few.

    >>> round_size(300, 4, 60), round_size(55, 4, 60)
    (60, 11)
    """
    size = min(most, (questions - WARM_UP) // rounds)
    if size < SHORT_QUESTIONS:
        least = rounds * SHORT_QUESTIONS + WARM_UP
        raise BenchError(f"the PDFs give {questions} questions, and {least} are needed")
    return size


def _add_comparison(report: Report, options: Options, medians: dict[str, list[float]]) -> None:
    """Add the ratios, the less flattering first: to the peers' best settings, then to their defaults."""
    for names, settings in ((BEST, "best settings"), (DEFAULTS, "defaults")):
        faster = [min(round_) for round_ in zip(*(medians[name] for name in names), strict=True)]
        for way, goal in ((_OWN, "<= 1.2"), (_BARE, "<= 0.8")):
            over = ratios(medians[way], faster)
            report.add_spread(f"{way}, over the faster peer, {settings}", over, "x", options.goal(goal))


def _ways(stack: Stack, own: str, peer: chromadb.Collection, warm_up: Sequence[str]) -> dict[str, Ask]:
    """Return docwell's ways and the limits by name; each takes questions and returns the seconds of each."""
    embedder = OnnxEmbedder(MODEL_DIR, THREADS, session_opener("onnxruntime"), for_questions=True)
    layout = Layout(PipelinePlace(MODEL_DIR, CHUNK_TOKENS).fingerprint, SHARDS)
    server = ChromaServer(stack.chroma, auth=server_auth("chroma", stack.chroma_token))
    # The function's cache of passages; no question comes twice.
    index = ChromaIndex(server, layout, int(QuerySettings.model_fields["kept_passages"].default))
    client = stack.http(_TIMEOUT_S)
    answered: dict[tuple[str, ...], list[float]] = {}

    def over_http(questions: Sequence[str]) -> list[float]:
        bodies = [{"question": one, "collection": own, "top_k": TOP_K} for one in questions]
        answers: list[Any] = []
        seconds = _timed(
            lambda body: answers.append(client.post("/v1/search", json=body).raise_for_status()), bodies
        )
        answered[tuple(questions)] = [one.json()["timings_ms"]["total"] / 1000 for one in answers]
        return seconds

    def by_its_clock(questions: Sequence[str]) -> list[float]:
        over_http(questions)
        return answered.pop(tuple(questions))

    def raw_encoder(questions: Sequence[str]) -> list[float]:
        feeds = [feed for one in questions for _, feed in embedder.feeds([one])]
        session = _raw_session()
        session.run(None, feeds[0])
        return _timed(lambda feed: session.run(None, feed), feeds)

    def bare_search(questions: Sequence[str]) -> list[float]:
        vectors = embedder.embed_queries(list(questions))
        return _timed(lambda vector: peer.query(query_embeddings=vector[None], n_results=TOP_K), list(vectors))

    def bare(questions: Sequence[str]) -> list[float]:
        embed = embedder.embed_queries
        return _timed(lambda one: index.search({own: None}, embed([one])[0].tolist(), TOP_K), questions)

    for one in (over_http, bare):
        one(warm_up)
    return {
        f"{_OWN}, over HTTP": over_http,
        _OWN: by_its_clock,
        _BARE: bare,
        "limit: the encoder's runtime on ready arrays": raw_encoder,
        "limit: a search by Chroma's client": bare_search,
    }


def _peer(
    stack: Stack, name: str, collection: str, warm_up: Sequence[str], questions: Sequence[str]
) -> list[float]:
    asked = [*warm_up, *questions]
    answer = run_framework(stack, name, collection, questions=asked, k=TOP_K, threads=THREADS)
    return [float(one) for one in answer["seconds"][len(warm_up) :]]


def _timed(work: Callable[[Any], object], items: Sequence[Any]) -> list[float]:
    seconds = []
    for item in items:
        started = time.perf_counter()
        work(item)
        seconds.append(time.perf_counter() - started)
    return seconds


def _raw_session() -> Any:
    import onnxruntime

    from docwell.adapters.embedding.model_manifest import MODEL_FILE, QUESTIONS_FILE, ModelManifest

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    name = QUESTIONS_FILE if QUESTIONS_FILE in ModelManifest.read(MODEL_DIR).stored else MODEL_FILE
    return onnxruntime.InferenceSession(str(MODEL_DIR / name), options, providers=["CPUExecutionProvider"])


def _copied(stack: Stack, filled: FilledCollection) -> chromadb.Collection:
    """Copy docwell's chunks into a collection as the peers make one: ids, vectors, texts, and a short metadata."""
    url, token = stack.chroma.removeprefix("http://"), stack.chroma_token
    host, port = url.split(":")
    client = chromadb.HttpClient(host=host, port=int(port), headers={"Authorization": f"Bearer {token}"})
    layout = Layout(PipelinePlace(MODEL_DIR, CHUNK_TOKENS).fingerprint, SHARDS)
    source, target = client.get_collection(layout.name(filled.name)), client.create_collection("bench-find-peer")
    for start in range(0, filled.size, BATCH):
        page = source.get(limit=BATCH, offset=start, include=["embeddings", "documents", "metadatas"])
        metadatas: Any = [{"source": one["document"]} for one in page["metadatas"] or ()]
        target.add(page["ids"], page["embeddings"], metadatas, page["documents"])
    return target
