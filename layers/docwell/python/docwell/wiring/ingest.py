"""Build the ingest use case on real parts. Factories are cached: a warm invocation reuses them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from docwell.adapters.sqs import SqsTaskQueue
from docwell.config import IngestSettings
from docwell.garbage import uncollected
from docwell.wiring import pipelines as shared

if TYPE_CHECKING:
    from docwell.ingest.ingest import Ingest
    from docwell.wiring.pipelines import Pipeline


# Raises `SettingsError`.
ingest_settings = cache(IngestSettings.read)


def begin() -> None:
    """Start the fork server and the loading of the model in the background. A second call does nothing.

    Raises `SettingsError`, and `ImportError` without the model's runtime. `ingest` raises other errors.
    """
    from docwell.adapters.documents import process

    process.fork_server(process.CHILD, "pdf_pages").start()
    settings = ingest_settings()
    shared.embedder_loading(settings, settings.model_dir)


def ingest() -> tuple[Ingest, ...]:
    """Return one `Ingest` for each pipeline in use."""
    built, settings = _ingest(), ingest_settings()
    # Read the roles at each call: ingest must not fill the index of a retired pipeline.
    roles = shared.roles_of(settings)
    used = roles.in_use(tuple(shared.pipelines(settings)))
    # Only the active one notes outcomes and charges uploads, so that each is one event and one charge.
    ledger_of = partial(shared.ledger_of, settings, lease_s=settings.lease_s)
    ledgers = {name: ledger_of(name, notes_outcomes=name == roles.active) for name in used}
    beside: dict[str, Any] = {"quotas": None, "trail": None, "active": ledgers.get(roles.active)}
    return tuple(
        replace(use_case, ledger=ledgers[name], **({} if name == roles.active else beside))
        for use_case in built
        if (name := use_case.fingerprint) in used
    )


@cache
def _ingest() -> tuple[Ingest, ...]:
    begin()
    settings = ingest_settings()
    with uncollected():
        return tuple(_build(settings, name, pipeline) for name, pipeline in shared.pipelines(settings).items())


def _build(settings: IngestSettings, fingerprint: str, pipeline: Pipeline) -> Ingest:
    from docwell.adapters.documents.document_reader import ChildDocumentReader, RecognisingReader, check_installed
    from docwell.adapters.dynamodb.audit import DynamoAudit
    from docwell.adapters.dynamodb.principals import DynamoPrincipals
    from docwell.ingest.indexing import RangeIndexer
    from docwell.ingest.ingest import Ingest

    store, index = shared.documents_of(settings), shared.vectors_of(settings, fingerprint)
    if settings.ocr != "off":
        check_installed()
    reader, dynamodb = ChildDocumentReader(settings), shared.dynamodb(settings)
    return Ingest(
        bucket=settings.bucket,
        store=store,
        ledger=shared.ledger_of(settings, fingerprint, settings.lease_s),
        index=index,
        queue=shared.task_queue(settings.queue_url),
        indexer=RangeIndexer(
            store=store,
            index=index,
            embedder=shared.embedder_of(settings, pipeline.model_dir),
            reader=reader,
            limits=settings.model_copy(update={"chunk_tokens": pipeline.chunk_tokens}),
            recogniser=None if settings.ocr == "off" else RecognisingReader(reader, settings),
        ),
        fingerprint=fingerprint,
        ocr_queue=shared.task_queue(settings.ocr_queue_url) if settings.ocr_queue_url else None,
        quotas=DynamoPrincipals(dynamodb, "", settings.usage_table, max_in_flight=0, longest_s=0),
        trail=DynamoAudit(dynamodb, settings.audit_table) if settings.audit_table else None,
    )


def source_queue(arn: str) -> tuple[SqsTaskQueue, bool]:
    """Return the queue with this ARN, of those that ingest reads from, and whether it has dead letters."""
    settings, name = ingest_settings(), arn.rsplit(":", 1)[-1]
    urls = filter(None, (settings.ocr_queue_url, settings.dead_letter_queue_url))
    url = next((url for url in urls if url.rsplit("/", 1)[-1] == name), settings.queue_url)
    return shared.task_queue(url), url == settings.dead_letter_queue_url


def parked_queue() -> SqsTaskQueue:
    """Return the queue of messages that were given up."""
    return shared.task_queue(ingest_settings().parked_queue_url)
