"""Factories of the query use case on real parts, cached for the life of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import TYPE_CHECKING

from docwell.adapters import aws
from docwell.adapters.dynamodb.audit import DynamoAudit
from docwell.adapters.dynamodb.ledger import DynamoLedger
from docwell.adapters.dynamodb.principals import DynamoPrincipals
from docwell.adapters.dynamodb.receipts import DynamoReceipts
from docwell.adapters.s3 import S3DocumentLinks, S3Listing
from docwell.adapters.sqs import SqsDeadLetters
from docwell.answers import Mode
from docwell.config import QuerySettings, SettingsError
from docwell.errors import DocwellError
from docwell.observability import logger
from docwell.query.costs import Prices, load_prices
from docwell.query.model_host import Breaker, GuardedModel
from docwell.query.prompting import Prompt, load_prompt
from docwell.query.readiness import Readiness
from docwell.query.receipts import ReceiptBook
from docwell.query.waking import Night, Sleeper
from docwell.wiring import pipelines as shared

if TYPE_CHECKING:
    from docwell.adapters.chroma import ChromaIndex
    from docwell.adapters.model_hosts import ModelServer
    from docwell.ports import AuditTrail, DeadLetters, LanguageModel, StateStore
    from docwell.query.documents import PageIndex
    from docwell.query.modes import Modes, Router
    from docwell.query.query import Query
    from docwell.query.retrieval.retrieval import Retrieval

# A question settles its charge up to 1 s after its deadline (docwell.http.answering); the rest is for clocks.
_FOLLOW_UP_MARGIN_S = 5.0
# The largest share of the deadline for a list, after its search and within the same stage.
_LIST_SHARE = 0.15
LEAST_PROMPT_TOKENS = 512  # for the prompt's rules and a question without passages
# A rewritten question is one sentence.
REWRITE_TOKENS = 80
# A runtime that streams writes the receipt some milliseconds after it has sent the answer.
_RECEIPT_LATE_S = 0.2


# Raises `SettingsError`.
@cache
def query_settings() -> QuerySettings:
    """Return the settings; where the environment sets none, those of the model's profile."""
    from docwell.adapters.model_profiles import SETTINGS, profile_of

    settings = QuerySettings.read()
    profile, unset = profile_of(settings.model), set(SETTINGS) - settings.model_fields_set
    settings = settings.model_copy(update={name: getattr(profile, name) for name in unset})
    if settings.num_ctx - settings.num_predict - settings.thinking_tokens < LEAST_PROMPT_TOKENS:
        raise SettingsError("DOCWELL_NUM_CTX leaves no room for a prompt beside NUM_PREDICT and THINKING_TOKENS")
    return settings.model_copy(update={"top_k": min(settings.top_k, settings.max_top_k)})


def prepare_query() -> None:
    """Make the parts of every question that need no network, so that SnapStart's snapshot holds them.

    Raises nothing: a part that fails here fails again when a question needs it, and `/v1/ready` names it.
    """
    try:
        settings = query_settings()
        shared.embedder_loading(settings, settings.model_dir)
        principals(), receipt_book(), audit_trail(), prices(), prompt(), document_links(), model(), _breaker()
        # Load all pipelines: only the first question shows which one is active.
        for fingerprint in shared.pipelines(settings):
            shared.vectors_of(settings, fingerprint), shared.ledger_of(settings, fingerprint)
        _query(next(iter(shared.pipelines(settings))))
    except Exception as error:  # noqa: BLE001 - a start that fails gives API Gateway a bare 502
        is_plain = isinstance(error, DocwellError | SettingsError)
        detail = str(error) if is_plain else type(error).__name__
        logger.error("not ready", extra={"detail": detail})


async def query() -> Query:
    """Return the query use case on the pipeline that is active now."""
    settings = query_settings()
    if len(shared.pipelines(settings)) == 1:
        return _query(shared.roles_of(settings).active)
    return _query((await asyncio.to_thread(shared.roles_of, settings)).active)  # it reads the ledger


@cache
def _query(fingerprint: str) -> Query:
    # Import it while the model loads.
    from docwell.adapters.embedding.model_manifest import ModelCalibration
    from docwell.adapters.embedding.onnx_embedder import kept_vectors
    from docwell.query.compare import ROW_TOKENS
    from docwell.query.conversation import Conversation
    from docwell.query.modes import Router
    from docwell.query.query import Query
    from docwell.query.retrieval.retrieval import DEEPEST, Retrieval

    settings, host, breaker = query_settings(), model(), _breaker()
    rewrite_context = settings.num_ctx - settings.thinking_tokens - REWRITE_TOKENS
    model_dir = shared.pipelines(settings)[fingerprint].model_dir
    rewriter, rows = (GuardedModel(host.writing_at_most(room), breaker) for room in (REWRITE_TOKENS, ROW_TOKENS))
    measured = ModelCalibration.read(model_dir)
    embedder, vectors = shared.embedder_of(settings, model_dir), shared.vectors_of(settings, fingerprint)
    deepest = min(DEEPEST, shared.chroma_quotas(settings).records)
    retrieval = Retrieval(shared.ledger_of(settings, fingerprint), vectors, deepest=deepest)
    router = Router(embedder, partial(kept_vectors, model_dir, embedder), measured.language)
    return Query(
        retrieval=retrieval,
        embedder=embedder,
        model=GuardedModel(host, breaker),
        conversation=Conversation(rewriter, load_prompt("rewrite"), rewrite_context),
        modes=_modes(vectors, retrieval, router, rows),
        links=document_links(),
        limits=settings,
        foreign=measured.foreign,
        min_fit=measured.gate.min_fit,
        min_fit_abroad=measured.gate.min_fit_abroad,
        language=measured.language,
        reranker=shared.cross_encoder_of(settings) if settings.reranker == "cross-encoder" else None,
        sleeper=sleeper() if settings.wake_s else None,
        listing=S3Listing(aws.client("s3", quick=True), settings.bucket).page,
    )


def _modes(vectors: ChromaIndex, retrieval: Retrieval, router: Router, rows: LanguageModel) -> Modes:
    """Return the modes of the query; `rows` writes those of comparisons."""
    from docwell.query.compare import Comparison
    from docwell.query.lists import Lists
    from docwell.query.modes import Modes
    from docwell.query.overview import Overview

    settings = query_settings()
    return Modes(
        router,
        {
            Mode.OVERVIEW: Overview(vectors, load_prompt("overview"), settings.passage_tokens is not None),
            Mode.LIST: Lists(vectors, retrieval.catalogue, settings.deadline_s * _LIST_SHARE),
            Mode.COMPARE: Comparison(retrieval, load_prompt("compare"), rows),
        },
        retrieval,
    )


@cache
def document_links() -> S3DocumentLinks:
    """Return the links to documents, and the changes to their bucket."""
    settings = query_settings()
    reached_at = str(settings.storage_url) if settings.storage_url else None
    return S3DocumentLinks(aws.client("s3"), settings.bucket, settings.link_s, reached_at)


@cache
def model() -> ModelServer:
    """Return the model host without its breaker."""
    from docwell.adapters.model_hosts import model_server

    settings = query_settings()
    limits = settings.model_dump(include={"num_ctx", "keep_alive", "num_predict", "thinking_tokens", "think"})
    auth = shared.server_auth("ollama", settings.ollama_token)
    return model_server(str(settings.ollama_url), settings.model, sleeps=settings.wake_s > 0, auth=auth, **limits)


@cache
def sleeper() -> Sleeper:
    """Return the watch over the model host's sleep. Raises `SettingsError`."""
    settings = query_settings()
    try:
        night = Night.parse(settings.night) if settings.night else None
    except ValueError as error:
        raise SettingsError(f"DOCWELL_NIGHT: {error}") from None
    return Sleeper(model(), shared.state_store(settings), settings.wake_s, night)


@cache
def _breaker() -> Breaker:
    settings = query_settings()
    return Breaker(settings.breaker_failures, settings.breaker_rest_s)


@cache
def prompt() -> Prompt:
    """Return the prompt for answers."""
    return load_prompt(query_settings().prompts)


@cache
def prices() -> Prices:
    """Return the price file. Raises `SettingsError`."""
    return load_prices(query_settings().prices)


@cache
def principals() -> DynamoPrincipals:
    """Return the table of callers, their grants and quotas."""
    settings = query_settings()
    return DynamoPrincipals(
        shared.dynamodb(settings),
        settings.principals_table,
        settings.usage_table,
        max_in_flight=settings.max_in_flight,
        longest_s=settings.deadline_s + settings.wake_s + _FOLLOW_UP_MARGIN_S,
    )


@cache
def receipt_book() -> ReceiptBook:
    """Return the receipts; without a table it keeps none."""
    settings = query_settings()
    if settings.receipts_table is None:
        return ReceiptBook(None)
    store = DynamoReceipts(shared.dynamodb(settings), settings.receipts_table, settings.receipt_days)
    return ReceiptBook(store, _RECEIPT_LATE_S)


@cache
def audit_trail() -> AuditTrail | None:
    """Return the audit trail; None without a table."""
    settings = query_settings()
    return DynamoAudit(shared.dynamodb(settings), settings.audit_table) if settings.audit_table else None


@cache
def dead_letters() -> DeadLetters:
    """Return the dead letters of ingest."""
    settings = query_settings()
    return SqsDeadLetters(aws.client("sqs", quick=True), settings.parked_queue_url, settings.queue_url)


def state() -> StateStore:
    """Return the store of facts about the whole index."""
    return shared.state_store(query_settings())


def active_pipeline() -> str:
    """Return the fingerprint of the pipeline that answers."""
    return shared.roles_of(query_settings()).active


def catalogue() -> DynamoLedger:
    """Return the ledger of the active pipeline as the query function reads it."""
    return shared.ledger_of(query_settings(), active_pipeline())


def page_index() -> PageIndex:
    """Return the index of the active pipeline, by page."""
    return shared.vectors_of(query_settings(), active_pipeline())


@cache
def readiness() -> Readiness:
    """Return the checks of the parts that a question needs."""
    settings = query_settings()

    def fingerprint() -> str:
        return next(iter(shared.pipelines(settings)))  # any pipeline will do: all use the same servers

    checks: dict[str, Callable[[], Awaitable[object]]] = {
        "models": lambda: asyncio.to_thread(lambda: _query(shared.roles_of(settings).active)),
        "ledger": lambda: asyncio.to_thread(lambda: shared.ledger_of(settings, fingerprint()).get("health")),
        "chroma": lambda: asyncio.to_thread(lambda: shared.vectors_of(settings, fingerprint()).collections()),
        "ollama": model().check,
    }
    return Readiness(checks, settings.ready_kept_s)
