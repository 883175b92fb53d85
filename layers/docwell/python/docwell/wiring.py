"""The only place that builds adapters. Factories are cached, so a warm invocation reuses what a cold one made.

Adapters are imported inside the factories: query never loads a PDF library.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docwell import pipeline
from docwell.config import IngestSettings, QuerySettings, ReconcileSettings, StorageSettings
from docwell.pipeline import Roles

if TYPE_CHECKING:
    from docwell.adapters.chroma import ChromaIndex
    from docwell.adapters.dynamodb import DynamoLedger, DynamoState
    from docwell.adapters.onnx_embedder import OnnxEmbedder
    from docwell.adapters.sqs import SqsTaskQueue
    from docwell.ingest import Ingest
    from docwell.query import Query
    from docwell.reconcile import Reconcile
    from docwell.reindex import Reindex


@cache
def ingest_settings() -> IngestSettings:
    """The ingest function's settings. Raises `SettingsError`."""
    return IngestSettings.read()


@cache
def query_settings() -> QuerySettings:
    """The query function's settings. Raises `SettingsError`."""
    return QuerySettings.read()


@cache
def reconcile_settings() -> ReconcileSettings:
    """The reconcile function's settings. Raises `SettingsError`."""
    return ReconcileSettings.read()


@dataclass(frozen=True)
class Pipeline:
    """One way from text to vectors. `fingerprint` names its index."""

    embedder: OnnxEmbedder
    chunk_tokens: int
    fingerprint: str


@cache
def pipelines(settings: IngestSettings | QuerySettings) -> tuple[Pipeline, ...]:
    """The pipeline in use, and the next one where one is being built."""
    found = [_pipeline(settings.model_dir, settings.chunk_tokens, settings.embed_threads)]
    if settings.next_model_dir or settings.next_chunk_tokens:
        found.append(
            _pipeline(
                settings.next_model_dir or settings.model_dir,
                settings.next_chunk_tokens or settings.chunk_tokens,
                settings.embed_threads,
            )
        )
    return tuple({one.fingerprint: one for one in found}.values())


def ingest() -> tuple[Ingest, ...]:
    """The ingest use case on real parts, once for each pipeline that is in use now."""
    built = _ingest()
    known = [one.fingerprint for one in built]
    if len(known) == 1:
        return built
    # Read at each call: a pipeline that a re-index has given up must not be filled again.
    used = Roles.read(state_store(ingest_settings()), known).in_use(known)
    return tuple(one for one in built if one.fingerprint in used)


@cache
def _ingest() -> tuple[Ingest, ...]:
    from docwell.adapters.aws import client
    from docwell.adapters.pdf import ChildPdfReader
    from docwell.adapters.s3 import S3ObjectStore
    from docwell.indexing import IngestLimits, RangeIndexer
    from docwell.ingest import Ingest

    settings = ingest_settings()
    store = S3ObjectStore(client("s3"), settings.bucket)
    reader = ChildPdfReader(
        parse_timeout_s=settings.parse_timeout_s,
        parse_memory_bytes=settings.parse_memory_bytes,
        max_document_pages=settings.max_document_pages,
        max_page_characters=settings.max_page_characters,
    )

    def build(pipeline: Pipeline) -> Ingest:
        index = _index(settings, pipeline.fingerprint)
        limits = IngestLimits(
            range_pages=settings.range_pages,
            max_document_bytes=settings.max_document_bytes,
            max_document_characters=settings.max_document_characters,
            chunk_tokens=pipeline.chunk_tokens,
            upsert_batch=settings.upsert_batch,
            lease_s=settings.lease_s,
            stop_before_s=settings.stop_before_s,
        )
        return Ingest(
            bucket=settings.bucket,
            store=store,
            ledger=_ledger(settings, pipeline.fingerprint, settings.lease_s),
            index=index,
            queue=task_queue(settings.queue_url),
            indexer=RangeIndexer(store, index, pipeline.embedder, reader, limits),
            fingerprint=pipeline.fingerprint,
        )

    return tuple(build(pipeline) for pipeline in pipelines(settings))


@cache
def task_queue(url: str) -> SqsTaskQueue:
    """The queue that ingest reads from."""
    from docwell.adapters.aws import client
    from docwell.adapters.sqs import SqsTaskQueue

    return SqsTaskQueue(client("sqs"), url)


def query() -> Query:
    """The query use case on the pipeline that is active now."""
    return _query(_active(query_settings()).fingerprint)


@cache
def _query(fingerprint: str) -> Query:
    from docwell.adapters.ollama import OllamaModel
    from docwell.prompting import load_prompt
    from docwell.query import Query, QueryLimits

    settings = query_settings()
    pipeline = next(one for one in pipelines(settings) if one.fingerprint == fingerprint)
    return Query(
        catalogue=_ledger(settings, fingerprint),
        index=_index(settings, fingerprint),
        embedder=pipeline.embedder,
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


def catalogue() -> DynamoLedger:
    """The ledger of the active pipeline as the query function reads it."""
    settings = query_settings()
    return _ledger(settings, _active(settings).fingerprint)


def _active(settings: QuerySettings) -> Pipeline:
    """The pipeline that answers: the first, until a re-index has switched to the next."""
    known = pipelines(settings)
    if len(known) == 1:
        return known[0]
    active = Roles.read(state_store(settings), [one.fingerprint for one in known]).active
    return next(one for one in known if one.fingerprint == active)


def reconcile() -> tuple[Reconcile, ...]:
    """The reconcile use case on real parts, once for each pipeline that is in use now."""
    settings = reconcile_settings()
    known = _fingerprints(settings)
    return tuple(_reconcile(one) for one in Roles.read(state_store(settings), known).in_use(known))


def reindex() -> Reindex:
    """The change from one pipeline to the next."""
    from docwell.reindex import Reindex

    settings = reconcile_settings()
    return Reindex(known=_fingerprints(settings), state=state_store(settings), reconcile=_reconcile)


@cache
def _reconcile(fingerprint: str) -> Reconcile:
    from docwell.adapters.aws import client
    from docwell.adapters.s3 import S3ObjectStore
    from docwell.reconcile import Reconcile, ReconcileLimits

    settings = reconcile_settings()
    return Reconcile(
        fingerprint=fingerprint,
        store=S3ObjectStore(client("s3"), settings.bucket),
        ledger=_ledger(settings, fingerprint),
        index=_index(settings, fingerprint),
        queue=task_queue(settings.queue_url),
        state=state_store(settings),
        limits=ReconcileLimits(
            stuck_after_s=settings.stuck_after_s,
            stop_before_s=settings.stop_before_s,
            begin_below=settings.begin_below,
            pause_above=settings.pause_above,
        ),
    )


@cache
def _fingerprints(settings: ReconcileSettings) -> tuple[str, ...]:
    """As `pipelines` has them, from the models' manifests alone: reconcile embeds nothing."""
    from docwell.adapters.model_manifest import ModelManifest

    ways = [(settings.model_dir, settings.chunk_tokens)]
    if settings.next_model_dir or settings.next_chunk_tokens:
        following = settings.next_model_dir or settings.model_dir
        ways.append((following, settings.next_chunk_tokens or settings.chunk_tokens))
    found = [pipeline.fingerprint(ModelManifest.read(folder).fingerprint, tokens) for folder, tokens in ways]
    return tuple(dict.fromkeys(found))


def state_store(settings: StorageSettings) -> DynamoState:
    """Small facts of the whole index."""
    from docwell.adapters.dynamodb import DynamoState

    return DynamoState(_dynamodb(), settings.ledger_table)


@cache
def _dynamodb() -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    from docwell.adapters.aws import client

    return client("dynamodb")


def _ledger(settings: StorageSettings, fingerprint: str, lease_s: float = 90.0) -> DynamoLedger:
    from docwell.adapters.dynamodb import DynamoLedger

    return DynamoLedger(_dynamodb(), settings.ledger_table, fingerprint, lease_s)


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


@cache
def _pipeline(model_dir: Path, chunk_tokens: int, threads: int) -> Pipeline:
    embedder = _embedder(model_dir, threads)
    return Pipeline(embedder, chunk_tokens, pipeline.fingerprint(embedder.fingerprint, chunk_tokens))


@cache
def _embedder(model_dir: Path, threads: int) -> OnnxEmbedder:
    from docwell.adapters.onnx_embedder import OnnxEmbedder

    return OnnxEmbedder(model_dir, threads)
