"""The pipelines that the settings name, from PDF to vectors: the first, and the next where one is set."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from docwell.config import IngestSettings, Ocr, QuerySettings, ReconcileSettings, RuntimeSettings
from docwell.pipeline import Roles, fingerprint
from docwell.wiring.stores import state_store

if TYPE_CHECKING:
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder

# The settings of a function that has pipelines.
PipelineSettings = IngestSettings | QuerySettings | ReconcileSettings


class Pipeline(NamedTuple):
    """A model, a chunk size and a recogniser."""

    model_dir: Path
    chunk_tokens: int
    ocr: Ocr


@cache
def pipelines(settings: PipelineSettings) -> dict[str, Pipeline]:
    """Return the pipelines by fingerprint. Reads the models' manifests, and loads no model."""
    from docwell.adapters.embedding.model_manifest import ModelManifest

    found = [Pipeline(settings.model_dir, settings.chunk_tokens, settings.ocr)]
    if settings.next_model_dir or settings.next_chunk_tokens or settings.next_ocr:
        following = settings.next_model_dir or settings.model_dir
        tokens = settings.next_chunk_tokens or settings.chunk_tokens
        found.append(Pipeline(following, tokens, settings.next_ocr or settings.ocr))
    return {
        fingerprint(
            ModelManifest.read(one.model_dir).fingerprint, one.chunk_tokens, one.ocr, settings.ocr_min_confidence
        ): one
        for one in found
    }


def roles_of(settings: PipelineSettings) -> Roles:
    """Return the roles of the settings' pipelines. Asks the ledger only where there are several."""
    known = tuple(pipelines(settings))
    return Roles(known[0]) if len(known) == 1 else Roles.read(state_store(settings), known)


@cache
def runtime_settings() -> RuntimeSettings:
    """Return the facts that Lambda and the runtime give."""
    return RuntimeSettings.read()


@cache
def embedder_of(settings: IngestSettings | QuerySettings, model_dir: Path) -> OnnxEmbedder:
    """Return the embedder of a model folder, loaded once in each process."""
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener, threads_for

    threads = settings.embed_threads or threads_for(runtime_settings().memory_mb)
    return OnnxEmbedder(model_dir, threads, session_opener(settings.embed_runtime))


@contextmanager
def model_loading(settings: IngestSettings | QuerySettings) -> Iterator[None]:
    """Load the first pipeline's model beside the block. Leaving the block raises what loading raises.

    Half of the loading runs outside Python, in C++ and OpenSSL, so other imports lose no time to it.
    """
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(embedder_of, settings, settings.model_dir)
        yield
        loading.result()
