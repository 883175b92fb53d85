"""The only place that builds adapters. Factories are cached, so a warm invocation reuses what a cold one made.

Adapters are imported inside the factories: query never loads a PDF library.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from docwell import pipeline
from docwell.config import EmbedderSettings, IngestSettings, QuerySettings, StorageSettings

if TYPE_CHECKING:
    from docwell.adapters.chroma import ChromaIndex
    from docwell.adapters.dynamodb import DynamoLedger
    from docwell.adapters.onnx_embedder import OnnxEmbedder
    from docwell.ingest import Ingest
    from docwell.query import Query


@cache
def ingest_settings() -> IngestSettings:
    """The ingest function's settings. Raises `SettingsError`."""
    return IngestSettings.read()


@cache
def query_settings() -> QuerySettings:
    """The query function's settings. Raises `SettingsError`."""
    return QuerySettings.read()


@cache
def ingest() -> Ingest:
    """The ingest use case on real parts."""
    from docwell.adapters.aws import client
    from docwell.adapters.pdf import ChildPdfReader
    from docwell.adapters.s3 import S3ObjectStore
    from docwell.ingest import Ingest, IngestLimits

    settings = ingest_settings()
    embedder = _embedder(settings)
    return Ingest(
        bucket=settings.bucket,
        store=S3ObjectStore(client("s3"), settings.bucket),
        ledger=_ledger(settings, settings.lease_s),
        index=_index(settings, _fingerprint(settings, embedder)),
        embedder=embedder,
        reader=ChildPdfReader(
            parse_timeout_s=settings.parse_timeout_s,
            parse_memory_bytes=settings.parse_memory_bytes,
            max_document_pages=settings.max_document_pages,
            max_page_characters=settings.max_page_characters,
        ),
        fingerprint=_fingerprint(settings, embedder),
        limits=IngestLimits(
            range_pages=settings.range_pages,
            max_document_bytes=settings.max_document_bytes,
            max_document_characters=settings.max_document_characters,
            chunk_tokens=settings.chunk_tokens,
            upsert_batch=settings.upsert_batch,
            lease_s=settings.lease_s,
            stop_before_s=settings.stop_before_s,
        ),
    )


@cache
def query() -> Query:
    """The query use case on real parts."""
    from docwell.adapters.ollama import OllamaModel
    from docwell.prompting import load_prompt
    from docwell.query import Query, QueryLimits

    settings = query_settings()
    embedder = _embedder(settings)
    return Query(
        catalogue=catalogue(),
        index=_index(settings, _fingerprint(settings, embedder)),
        embedder=embedder,
        model=OllamaModel(
            str(settings.ollama_url),
            settings.model,
            num_ctx=settings.num_ctx,
            num_predict=settings.num_predict,
            keep_alive=settings.keep_alive,
        ),
        prompt=load_prompt("answer"),
        limits=QueryLimits(
            num_ctx=settings.num_ctx,
            num_predict=settings.num_predict,
            min_score=settings.min_score,
            deadline_s=settings.deadline_s,
        ),
    )


@cache
def catalogue() -> DynamoLedger:
    """The ledger as the query function reads it: needs neither the model nor Chroma."""
    return _ledger(query_settings())


def _ledger(settings: StorageSettings, lease_s: float = 90.0) -> DynamoLedger:
    from docwell.adapters.aws import client
    from docwell.adapters.dynamodb import DynamoLedger

    return DynamoLedger(client("dynamodb"), settings.ledger_table, lease_s)


def _index(settings: StorageSettings, fingerprint: str) -> ChromaIndex:
    from docwell.adapters.chroma import ChromaIndex

    return ChromaIndex(
        str(settings.chroma_url),
        fingerprint,
        tenant=settings.chroma_tenant,
        database=settings.chroma_database,
        token=settings.chroma_token,
        timeout_s=settings.chroma_timeout_s,
    )


def _embedder(settings: EmbedderSettings) -> OnnxEmbedder:
    from docwell.adapters.onnx_embedder import OnnxEmbedder

    return OnnxEmbedder(settings.model_dir, settings.embed_threads)


def _fingerprint(settings: EmbedderSettings, embedder: OnnxEmbedder) -> str:
    return pipeline.fingerprint(embedder.fingerprint, settings.chunk_tokens)
