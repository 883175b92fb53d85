"""Build the ingest use case on real parts. Factories are cached: a warm invocation reuses them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from docwell.config import IngestSettings
from docwell.pipeline import Roles
from docwell.wiring.pipelines import Pipeline, embedder_of, model_loading, pdf_reader, pipelines, recogniser_of
from docwell.wiring.stores import ledger_of, state_store, task_queue, vectors_of

if TYPE_CHECKING:
    from docwell.adapters.sqs import SqsTaskQueue
    from docwell.ingest.ingest import Ingest


@cache
def ingest_settings() -> IngestSettings:
    """The ingest function's settings. Raises `SettingsError`."""
    return IngestSettings.read()


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
    with model_loading(settings):
        store, queue = S3ObjectStore(client("s3"), settings.bucket), task_queue(settings.queue_url)
        for fingerprint in pipelines(settings):
            ledger_of(settings, fingerprint), vectors_of(settings, fingerprint)
    reader = pdf_reader(settings)

    def build(fingerprint: str, pipeline: Pipeline) -> Ingest:
        index, embedder = vectors_of(settings, fingerprint), embedder_of(settings, pipeline.model_dir)
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
