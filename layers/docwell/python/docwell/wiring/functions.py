"""With `docwell.wiring.stores` and `docwell.wiring.pipelines` the only place that builds adapters.

Factories are cached, so a warm invocation reuses what a cold one made. Adapters are imported inside the factories:
query never loads a PDF library.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from docwell.config import (
    IngestSettings,
    QuerySettings,
    ReconcileSettings,
    RuntimeSettings,
    SettingsError,
)
from docwell.deadline import Deadline
from docwell.errors import DocwellError
from docwell.pipeline import Roles
from docwell.wiring.pipelines import Pipeline, pdf_reader, pipelines, recogniser_of
from docwell.wiring.stores import dynamodb, ledger_of, state_store, vectors_of

if TYPE_CHECKING:
    from docwell.adapters.chroma import ChromaIndex
    from docwell.adapters.dynamodb.ledger import DynamoLedger
    from docwell.adapters.dynamodb.principals import DynamoPrincipals
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
    from docwell.adapters.ollama import OllamaModel
    from docwell.adapters.s3 import S3DocumentLinks
    from docwell.adapters.sqs import SqsTaskQueue
    from docwell.ingest.ingest import Ingest
    from docwell.query.costs import Prices
    from docwell.query.model_host import CircuitBreaker, InFlight, RetryBudget
    from docwell.query.prompting import PromptChoice
    from docwell.query.query import Query
    from docwell.query.receipts import ReceiptBook
    from docwell.text.tokens import TokenCalibration
    from docwell.upkeep.reconcile import Reconcile
    from docwell.upkeep.reindex import Reindex

# A rewritten question is one sentence.
REWRITE_TOKENS = 80
# What was learnt since is learnt again by the environments to come: no loss worth a write for each answer.
SAVE_EVERY = 10
# A runtime that can stream writes a receipt after its answer was sent, which takes some milliseconds.
_RECEIPT_LATE_S = 0.2
# What the first question may wait for what others have learnt.
_CALIBRATION_S = 1.0


@cache
def ingest_settings() -> IngestSettings:
    """The ingest function's settings. Raises `SettingsError`."""
    return IngestSettings.read()


@cache
def query_settings() -> QuerySettings:
    """The query function's settings. Raises `SettingsError`."""
    return QuerySettings.read()


@cache
def runtime_settings() -> RuntimeSettings:
    """What Lambda and the runtime say of themselves."""
    return RuntimeSettings.read()


@cache
def reconcile_settings() -> ReconcileSettings:
    """The reconcile function's settings. Raises `SettingsError`."""
    return ReconcileSettings.read()


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
    from docwell.adapters.s3 import S3ObjectStore
    from docwell.ingest.indexing import IngestLimits, RangeIndexer
    from docwell.ingest.ingest import Ingest

    settings = ingest_settings()
    with _model_loading(settings):
        store, queue = S3ObjectStore(client("s3"), settings.bucket), task_queue(settings.queue_url)
        for fingerprint in pipelines(settings):
            ledger_of(settings, fingerprint), vectors_of(settings, fingerprint)
    reader = pdf_reader(settings)

    def build(fingerprint: str, pipeline: Pipeline) -> Ingest:
        index, embedder = vectors_of(settings, fingerprint), _embedder(settings, pipeline.model_dir)
        limits = IngestLimits(
            range_pages=settings.range_pages,
            max_document_bytes=settings.max_document_bytes,
            max_document_characters=settings.max_document_characters,
            chunk_tokens=pipeline.chunk_tokens,
            upsert_batch=settings.upsert_batch,
            lease_s=settings.lease_s,
            stop_before_s=settings.stop_before_s,
            ocr_range_pages=settings.ocr_range_pages,
            ocr_page_timeout_s=settings.ocr_page_timeout_s,
            ocr_min_confidence=settings.ocr_min_confidence,
        )
        recogniser = None if pipeline.ocr == "off" else recogniser_of(settings, reader)
        return Ingest(
            bucket=settings.bucket,
            store=store,
            ledger=ledger_of(settings, fingerprint, settings.lease_s),
            index=index,
            queue=queue,
            indexer=RangeIndexer(store, index, embedder, reader, limits, recogniser),
            fingerprint=fingerprint,
            ocr_queue=task_queue(settings.ocr_queue_url) if settings.ocr_queue_url else None,
        )

    return tuple(build(fingerprint, pipeline) for fingerprint, pipeline in pipelines(settings).items())


def source_queue(arn: str) -> SqsTaskQueue:
    """The queue, of those that ingest reads from, with that ARN."""
    main, ocr = ingest_settings().queue_url, ingest_settings().ocr_queue_url
    return task_queue(ocr if ocr and ocr.rsplit("/", 1)[-1] == arn.rsplit(":", 1)[-1] else main)


@cache
def task_queue(url: str) -> SqsTaskQueue:
    """A queue that ingest reads from."""
    from docwell.adapters.aws import client
    from docwell.adapters.sqs import SqsTaskQueue

    return SqsTaskQueue(client("sqs"), url)


def prepare_query() -> None:
    """Before any question, make what each one needs, so far as it asks nobody: SnapStart's snapshot has it.

    Raises nothing: what fails here fails again, and is told, where it is needed.
    """
    with suppress(Exception):
        settings = query_settings()
        with _model_loading(settings):
            principals(), receipt_book(), prices(), prompts(), _links(), model(), _guards()
            # Of each pipeline: which one answers is asked at the first question.
            for fingerprint in pipelines(settings):
                vectors_of(settings, fingerprint), ledger_of(settings, fingerprint)


@contextmanager
def _model_loading(settings: IngestSettings | QuerySettings) -> Iterator[None]:
    """The pipeline's first model is being loaded meanwhile, and is there at the end. Raises what loading raises.

    Half of loading is done by C++ and OpenSSL, outside Python: 0.24 s of processor time beside other imports.
    """
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(_embedder, settings, settings.model_dir)
        yield
        loading.result()


def query() -> Query:
    """The query use case on the pipeline that is active now."""
    return _query(_active(query_settings()))


@cache
def _query(fingerprint: str) -> Query:
    from docwell.query.conversation import Conversation
    from docwell.query.model_host import GuardedFacts, GuardedModel
    from docwell.query.prompting import load_prompt
    from docwell.query.query import Query, QueryLimits
    from docwell.query.retrieval.retrieval import Retrieval

    settings = query_settings()
    host, guards = model(), _guards()
    return Query(
        retrieval=Retrieval(
            ledger_of(settings, fingerprint),
            vectors_of(settings, fingerprint),
            focused=settings.focused_passages,
        ),
        embedder=_embedder(settings, pipelines(settings)[fingerprint].model_dir),
        model=GuardedModel(host, *guards),
        facts=GuardedFacts(host, guards[0]),
        conversation=Conversation(
            GuardedModel(host.writing_at_most(REWRITE_TOKENS), *guards), load_prompt("rewrite")
        ),
        calibration=_calibration()[1],
        links=_links(),
        limits=QueryLimits(
            num_ctx=settings.num_ctx,
            num_predict=settings.num_predict,
            min_score=settings.min_score,
            min_relevance=settings.min_relevance,
            min_support=settings.min_support,
            deadline_s=settings.deadline_s,
        ),
    )


@cache
def _links() -> S3DocumentLinks:
    from docwell.adapters.aws import client
    from docwell.adapters.s3 import S3DocumentLinks

    settings = query_settings()
    return S3DocumentLinks(client("s3"), settings.bucket, settings.link_s)


@cache
def model() -> OllamaModel:
    """The model host itself, unguarded."""
    from docwell.adapters.ollama import OllamaModel

    settings = query_settings()
    return OllamaModel(
        str(settings.ollama_url),
        settings.model,
        num_ctx=settings.num_ctx,
        num_predict=settings.num_predict,
        keep_alive=settings.keep_alive,
    )


@cache
def _guards() -> tuple[CircuitBreaker, InFlight, RetryBudget]:
    """One set for the one host."""
    from docwell.query.model_host import CircuitBreaker, InFlight, RetryBudget

    settings = query_settings()
    return (
        CircuitBreaker(settings.breaker_failures, settings.breaker_rest_s),
        InFlight(settings.max_in_flight),
        RetryBudget(settings.retry_share),
    )


@cache
def _calibration() -> tuple[str | None, TokenCalibration]:
    """What is known of the tokens of these very weights, and the name under which it is kept; None: it is not."""
    from docwell.text.tokens import TokenCalibration

    settings = query_settings()
    deadline = Deadline(_CALIBRATION_S)
    try:
        digest = deadline.within("facts", 1.0, model().digest)
        name = f"tokens#{settings.model}@{digest}"
        state = deadline.within("ledger", 1.0, lambda: state_store(settings).read(name))
    except DocwellError:  # it is learnt anew: no reason to fail
        return None, TokenCalibration()
    return name, TokenCalibration.from_state(state)


def save_calibration() -> None:
    """Keep what was learnt of the model's tokens, now and then, for the environments to come."""
    name, calibration = _calibration()
    if name is not None and calibration.observations % SAVE_EVERY == 0:
        state_store(query_settings()).write(name, calibration.to_state())


@cache
def prompts() -> PromptChoice:
    """The prompts that answer, with their shares. Raises `SettingsError`."""
    from docwell.query.prompting import PromptChoice

    try:
        return PromptChoice.parse(query_settings().prompts)
    except ValueError as error:
        raise SettingsError(f"DOCWELL_PROMPTS: {error}") from None


@cache
def prices() -> Prices:
    """The price file. Raises `SettingsError`."""
    from docwell.query.costs import load_prices

    return load_prices(query_settings().prices)


@cache
def principals() -> DynamoPrincipals:
    """Who may see what."""
    from docwell.adapters.dynamodb.principals import DynamoPrincipals

    return DynamoPrincipals(dynamodb(quick=True), query_settings().principals_table)


@cache
def receipt_book() -> ReceiptBook:
    """The answers that are kept, where any are."""
    from docwell.adapters.dynamodb.receipts import DynamoReceipts
    from docwell.query.receipts import ReceiptBook

    settings = query_settings()
    if settings.receipts_table is None:
        return ReceiptBook(None)
    store = DynamoReceipts(dynamodb(quick=True), settings.receipts_table, settings.receipt_days)
    return ReceiptBook(store, _RECEIPT_LATE_S if runtime_settings().can_stream else 0.0)


def catalogue() -> DynamoLedger:
    """The ledger of the active pipeline as the query function reads it."""
    settings = query_settings()
    return ledger_of(settings, _active(settings))


def index() -> ChromaIndex:
    """The vectors of the active pipeline, to ask whether their server is there."""
    settings = query_settings()
    return vectors_of(settings, _active(settings))


def _active(settings: QuerySettings) -> str:
    """The fingerprint of the pipeline that answers: the first, until a re-index has switched to the next."""
    known = tuple(pipelines(settings))
    return known[0] if len(known) == 1 else Roles.read(state_store(settings), known).active


def reconcile() -> tuple[Reconcile, ...]:
    """The reconcile use case on real parts, once for each pipeline that is in use now."""
    settings = reconcile_settings()
    known = tuple(pipelines(settings))
    return tuple(_reconcile(one) for one in Roles.read(state_store(settings), known).in_use(known))


def reindex() -> Reindex:
    """The change from one pipeline to the next."""
    from docwell.upkeep.reindex import Reindex

    settings = reconcile_settings()
    return Reindex(known=tuple(pipelines(settings)), state=state_store(settings), reconcile=_reconcile)


@cache
def _reconcile(fingerprint: str) -> Reconcile:
    from docwell.adapters.aws import client
    from docwell.adapters.s3 import S3ObjectStore
    from docwell.upkeep.reconcile import Reconcile, ReconcileLimits

    settings = reconcile_settings()
    return Reconcile(
        fingerprint=fingerprint,
        store=S3ObjectStore(client("s3"), settings.bucket),
        ledger=ledger_of(settings, fingerprint),
        index=vectors_of(settings, fingerprint),
        queue=task_queue(settings.queue_url),
        state=state_store(settings),
        limits=ReconcileLimits(
            stuck_after_s=settings.stuck_after_s,
            ocr_stuck_after_s=settings.ocr_stuck_after_s,
            stop_before_s=settings.stop_before_s,
            begin_below=settings.begin_below,
            pause_above=settings.pause_above,
        ),
    )


@cache
def _embedder(settings: IngestSettings | QuerySettings, model_dir: Path) -> OnnxEmbedder:
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener, threads_for

    threads = settings.embed_threads or threads_for(runtime_settings().memory_mb)
    return OnnxEmbedder(model_dir, threads, session_opener(settings.embed_runtime))
