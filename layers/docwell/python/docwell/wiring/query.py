"""Build the query use case on real parts. Factories are cached: a warm invocation reuses them."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from docwell.config import QuerySettings, SettingsError
from docwell.deadline import Deadline
from docwell.errors import DocwellError
from docwell.pipeline import Roles
from docwell.wiring.pipelines import embedder_of, model_loading, pipelines, runtime_settings
from docwell.wiring.stores import dynamodb, ledger_of, state_store, vectors_of

if TYPE_CHECKING:
    from docwell.adapters.chroma import ChromaIndex
    from docwell.adapters.dynamodb.ledger import DynamoLedger
    from docwell.adapters.dynamodb.principals import DynamoPrincipals
    from docwell.adapters.ollama import OllamaModel
    from docwell.adapters.s3 import S3DocumentLinks
    from docwell.query.costs import Prices
    from docwell.query.model_host import CircuitBreaker, InFlight, RetryBudget
    from docwell.query.prompting import PromptChoice
    from docwell.query.query import Query
    from docwell.query.receipts import ReceiptBook
    from docwell.text.tokens import TokenCalibration

# A rewritten question is one sentence.
REWRITE_TOKENS = 80
# What was learnt since is learnt again by the environments to come: no loss worth a write for each answer.
SAVE_EVERY = 10
# A runtime that can stream writes a receipt after its answer was sent, which takes some milliseconds.
_RECEIPT_LATE_S = 0.2
# What the first question may wait for what others have learnt.
_CALIBRATION_S = 1.0


@cache
def query_settings() -> QuerySettings:
    """The query function's settings. Raises `SettingsError`."""
    return QuerySettings.read()


def prepare_query() -> None:
    """Before any question, make what each one needs, so far as it asks nobody: SnapStart's snapshot has it.

    Raises nothing: what fails here fails again, and is told, where it is needed.
    """
    with suppress(Exception):
        settings = query_settings()
        with model_loading(settings):
            principals(), receipt_book(), prices(), prompts(), _links(), model(), _guards()
            # Of each pipeline: which one answers is asked at the first question.
            for fingerprint in pipelines(settings):
                vectors_of(settings, fingerprint), ledger_of(settings, fingerprint)


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
        ),
        embedder=embedder_of(settings, pipelines(settings)[fingerprint].model_dir),
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
