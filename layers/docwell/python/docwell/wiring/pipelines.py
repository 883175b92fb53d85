"""The pipelines from a PDF to vectors that the settings name: the one in use, and a next one being built."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from docwell import pipeline
from docwell.config import IngestSettings, Ocr, QuerySettings, ReconcileSettings, RuntimeSettings

if TYPE_CHECKING:
    from docwell.adapters.documents.ocr import RecognisingReader
    from docwell.adapters.documents.reader import ChildPdfReader
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
    from docwell.ports import PdfReader


class Pipeline(NamedTuple):
    """A model, a chunk size, and what recognises pages that are pictures."""

    model_dir: Path
    chunk_tokens: int
    ocr: Ocr = "off"


@cache
def pipelines(settings: IngestSettings | QuerySettings | ReconcileSettings) -> dict[str, Pipeline]:
    """By fingerprint, from the models' manifests alone: no model is loaded for it."""
    from docwell.adapters.embedding.model_manifest import ModelManifest

    found = [Pipeline(settings.model_dir, settings.chunk_tokens, settings.ocr)]
    if settings.next_model_dir or settings.next_chunk_tokens or settings.next_ocr:
        following = settings.next_model_dir or settings.model_dir
        tokens = settings.next_chunk_tokens or settings.chunk_tokens
        found.append(Pipeline(following, tokens, settings.next_ocr or settings.ocr))
    return {
        pipeline.fingerprint(
            ModelManifest.read(one.model_dir).fingerprint, one.chunk_tokens, one.ocr, settings.ocr_min_confidence
        ): one
        for one in found
    }


def pdf_reader(settings: IngestSettings) -> ChildPdfReader:
    """What reads the text of pages."""
    from docwell.adapters.documents.reader import ChildPdfReader

    return ChildPdfReader(
        parse_timeout_s=settings.parse_timeout_s,
        parse_memory_bytes=settings.parse_memory_bytes,
        max_document_pages=settings.max_document_pages,
        max_page_characters=settings.max_page_characters,
    )


def recogniser_of(settings: IngestSettings, reader: PdfReader) -> RecognisingReader:
    """What reads also pages that are pictures. Raises `SettingsError` where it is not installed."""
    from docwell.adapters.documents.ocr import RecognisingReader, check_installed

    check_installed()
    return RecognisingReader(
        reader,
        page_timeout_s=settings.ocr_page_timeout_s,
        memory_bytes=settings.ocr_memory_bytes,
        max_page_characters=settings.max_page_characters,
    )


@cache
def runtime_settings() -> RuntimeSettings:
    """What Lambda and the runtime say of themselves."""
    return RuntimeSettings.read()


@cache
def embedder_of(settings: IngestSettings | QuerySettings, model_dir: Path) -> OnnxEmbedder:
    """Return the embedder of a model folder, loaded once for each process."""
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener, threads_for

    threads = settings.embed_threads or threads_for(runtime_settings().memory_mb)
    return OnnxEmbedder(model_dir, threads, session_opener(settings.embed_runtime))


@contextmanager
def model_loading(settings: IngestSettings | QuerySettings) -> Iterator[None]:
    """The pipeline's first model is being loaded meanwhile, and is there at the end. Raises what loading raises.

    Half of loading is done by C++ and OpenSSL, outside Python: 0.24 s of processor time beside other imports.
    """
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(embedder_of, settings, settings.model_dir)
        yield
        loading.result()
