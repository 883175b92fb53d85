"""The parts that several functions share: stores, and the pipelines that the settings name, from PDF to vectors.

Factories are cached: a warm invocation reuses them. They import adapters inside, so that a function loads only the
vendors' clients that it needs.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from docwell.adapters import aws
from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState
from docwell.adapters.s3 import S3ObjectStore
from docwell.adapters.sqs import SqsTaskQueue
from docwell.config import IngestSettings, QuerySettings, ReconcileSettings, RuntimeSettings, StorageSettings
from docwell.pipeline import Roles, fingerprint

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from docwell.adapters.chroma import ChromaIndex
    from docwell.adapters.chroma_records import Quotas
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
    from docwell.adapters.reranking.cross_encoder import CrossEncoder
    from docwell.adapters.server_auth import AuthHeader, ServerAuth

# The reranker is in the embedding model's folder, so that one layer and one setting provide both.
RERANKER_FOLDER = "reranker"
# The settings of a function that has pipelines.
PipelineSettings = IngestSettings | QuerySettings | ReconcileSettings


@cache
def documents_of(settings: StorageSettings) -> S3ObjectStore:
    """Return the documents bucket."""
    return S3ObjectStore(aws.client("s3"), settings.bucket)


@cache
def dynamodb(settings: StorageSettings) -> DynamoDBClient:
    """Return the client of every table. The query function's client gives up early: a user waits."""
    tables: DynamoDBClient = aws.client("dynamodb", quick=isinstance(settings, QuerySettings))
    return tables


def state_store(settings: StorageSettings) -> DynamoState:
    """Return the store of facts about the whole index."""
    return DynamoState(dynamodb(settings), settings.ledger_table)


def ledger_of(
    settings: StorageSettings, fingerprint: str, lease_s: float = 90.0, *, notes_outcomes: bool = False
) -> DynamoLedger:
    """Return the ledger of one pipeline."""
    return DynamoLedger(
        dynamodb(settings), settings.ledger_table, fingerprint, lease_s, notes_outcomes=notes_outcomes
    )


@cache
def index_of(settings: StorageSettings, fingerprint: str, shards: int) -> ChromaIndex:
    """Return the vector index of one fingerprint."""
    from docwell.adapters.chroma import ChromaIndex, ChromaServer
    from docwell.adapters.chroma_records import Layout

    server = ChromaServer(
        settings.chroma_url,
        tenant=settings.chroma_tenant,
        database=settings.chroma_database,
        auth=server_auth("chroma", settings.chroma_token, settings.chroma_header),
        timeout_s=settings.chroma_timeout_s,
        quotas=chroma_quotas(settings),
    )
    kept_passages = settings.kept_passages if isinstance(settings, QuerySettings) else 0
    return ChromaIndex(server, Layout(fingerprint, shards), kept_passages)


def chroma_quotas(settings: StorageSettings) -> Quotas:
    """Return the quotas of Chroma: only the hosted service uses X-Chroma-Token."""
    from docwell.adapters.chroma_records import HOSTED, UNLIMITED

    return HOSTED if settings.chroma_header == "X-Chroma-Token" else UNLIMITED


def server_auth(server: str, token: str | None, header: AuthHeader = "Authorization") -> ServerAuth | None:
    """Return the signer of requests to a server, from a token or its secret's ARN; None without either."""
    from docwell.adapters.server_auth import Credential, ServerAuth, secret_reader

    if token is None:
        return None
    if not token.startswith("arn:"):
        return ServerAuth(lambda: Credential(token), header, server)
    return ServerAuth(secret_reader(aws.client("secretsmanager", quick=True), token, server), header, server)


@cache
def task_queue(url: str) -> SqsTaskQueue:
    """Return a queue that ingest reads from."""
    return SqsTaskQueue(aws.client("sqs"), url)


class Pipeline(NamedTuple):
    """A model, a chunk size, and the shards of the index."""

    model_dir: Path
    chunk_tokens: int
    shards: int


@cache
def pipelines(settings: PipelineSettings) -> dict[str, Pipeline]:
    """Return the pipelines by fingerprint. Reads the models' manifests, and loads no model."""
    from docwell.adapters.embedding.model_manifest import ModelManifest

    named = [Pipeline(settings.model_dir, settings.chunk_tokens, settings.shards)]
    changes: dict[str, Any] = {
        "model_dir": settings.next_model_dir,
        "chunk_tokens": settings.next_chunk_tokens or None,
        "shards": settings.next_shards,
    }
    if changes := {name: value for name, value in changes.items() if value is not None}:
        named.append(named[0]._replace(**changes))
    return {
        fingerprint(
            ModelManifest.read(pipeline.model_dir).fingerprint, pipeline.chunk_tokens, shards=pipeline.shards
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
