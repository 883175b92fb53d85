"""The pipelines that the settings name, from PDF to vectors: the first, and the next where one is set."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from docwell.config import IngestSettings, Ocr, QuerySettings, ReconcileSettings, RuntimeSettings
from docwell.pipeline import Roles, fingerprint
from docwell.wiring.stores import index_of, state_store

if TYPE_CHECKING:
    from docwell.adapters.chroma import ChromaIndex
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
    from docwell.adapters.reranking.cross_encoder import CrossEncoder

# The reranker is in the embedding model's folder, so that one layer and one setting provide both.
RERANKER_FOLDER = "reranker"
# The settings of a function that has pipelines.
PipelineSettings = IngestSettings | QuerySettings | ReconcileSettings


class Pipeline(NamedTuple):
    """A model, a chunk size, a recogniser, and the shards of the index."""

    model_dir: Path
    chunk_tokens: int
    ocr: Ocr
    shards: int


@cache
def pipelines(settings: PipelineSettings) -> dict[str, Pipeline]:
    """Return the pipelines by fingerprint. Reads the models' manifests, and loads no model."""
    from docwell.adapters.embedding.model_manifest import ModelManifest

    named = [Pipeline(settings.model_dir, settings.chunk_tokens, settings.ocr, settings.shards)]
    changes: dict[str, Any] = {
        "model_dir": settings.next_model_dir,
        "chunk_tokens": settings.next_chunk_tokens or None,
        "ocr": settings.next_ocr,
        "shards": settings.next_shards,
    }
    if changes := {name: value for name, value in changes.items() if value is not None}:
        named.append(named[0]._replace(**changes))
    return {
        fingerprint(
            ModelManifest.read(pipeline.model_dir).fingerprint,
            pipeline.chunk_tokens,
            pipeline.ocr,
            settings.ocr_min_confidence,
            shards=pipeline.shards,
        ): pipeline
        for pipeline in named
    }


def roles_of(settings: PipelineSettings) -> Roles:
    """Return the roles of the settings' pipelines. Reads the ledger only if there are several."""
    fingerprints = tuple(pipelines(settings))
    return Roles(fingerprints[0]) if len(fingerprints) == 1 else Roles.read(state_store(settings), fingerprints)


def vectors_of(settings: PipelineSettings, fingerprint: str) -> ChromaIndex:
    """Return the vector index of one pipeline. If the settings no longer name it, it can only be removed."""
    pipeline = pipelines(settings).get(fingerprint)
    return index_of(settings, fingerprint, pipeline.shards if pipeline else settings.shards)


runtime_settings = cache(RuntimeSettings.read)


def embedder_loading(settings: IngestSettings | QuerySettings, model_dir: Path) -> Future[OnnxEmbedder]:
    """Return the future embedder of a model folder, which loads in a thread; after an error, load it again.

    Raises `ImportError` without its runtime.
    """
    # Import first: the rest of the loading runs in C++ and OpenSSL, but this import waits for others.
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, runs_openvino, session_opener

    cached = _embedders().get((settings, model_dir))
    if cached is not None and not (cached.done() and cached.exception()):
        return cached
    thread, open_session = ThreadPoolExecutor(1, "model"), session_opener(settings.embed_runtime)
    for_questions = isinstance(settings, QuerySettings) and not runs_openvino(settings.embed_runtime)
    threads = _threads(settings)
    loading = thread.submit(OnnxEmbedder, model_dir, threads, open_session, for_questions=for_questions)
    thread.shutdown(wait=False)
    _embedders()[settings, model_dir] = loading
    return loading


@cache
def _embedders() -> dict[tuple[IngestSettings | QuerySettings, Path], Future[OnnxEmbedder]]:
    """Return this process's embedders, loading or loaded; a failed one is replaced."""
    return {}


def embedder_of(settings: IngestSettings | QuerySettings, model_dir: Path) -> OnnxEmbedder:
    """Return the embedder of a model folder, loaded once in each process. Raises as loading does."""
    return embedder_loading(settings, model_dir).result()


@cache
def cross_encoder_of(settings: QuerySettings) -> CrossEncoder:
    """Return the cross-encoder in the first pipeline's model folder, loaded once in each process."""
    from docwell.adapters.embedding.onnx_embedder import session_opener
    from docwell.adapters.reranking.cross_encoder import CrossEncoder

    folder = settings.model_dir / RERANKER_FOLDER
    return CrossEncoder(folder, _threads(settings), session_opener(settings.embed_runtime))


def _threads(settings: IngestSettings | QuerySettings) -> int:
    from docwell.adapters.embedding.onnx_embedder import threads_for

    return settings.embed_threads or threads_for(runtime_settings().memory_mb)
