"""Build the ingest use case on real parts. Factories are cached: a warm invocation reuses them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from docwell.config import IngestSettings
from docwell.pipeline import Roles
from docwell.wiring.pipelines import Pipeline, embedder_of, model_loading, pdf_reader, pipelines, recogniser_of
from docwell.wiring.stores import ledger_of, state_store, task_queue, vectors_of

if TYPE_CHECKING:
    from docwell.adapters.s3 import S3ObjectStore
    from docwell.adapters.sqs import SqsTaskQueue
    from docwell.ingest.ingest import Ingest


@cache
def ingest_settings() -> IngestSettings:
    """Return the ingest function's settings. Raises `SettingsError`."""
    return IngestSettings.read()


def ingest() -> tuple[Ingest, ...]:
    """Return the use case for each pipeline in use."""
    built = _ingest()
    known = [one.fingerprint for one in built]
    if len(known) == 1:
        return built
    # Read at each call: ingest must not fill the index of a pipeline that a re-index has retired.
    used = Roles.read(state_store(ingest_settings()), known).in_use(known)
    return tuple(one for one in built if one.fingerprint in used)


@cache
def _ingest() -> tuple[Ingest, ...]:
    settings = ingest_settings()
    with model_loading(settings):  # import the vendors and make their clients meanwhile
        _store()
        task_queue(settings.queue_url)
        for fingerprint in pipelines(settings):
            ledger_of(settings, fingerprint)
            vectors_of(settings, fingerprint)
    return tuple(_build(fingerprint, pipeline) for fingerprint, pipeline in pipelines(settings).items())


def _build(fingerprint: str, pipeline: Pipeline) -> Ingest:
    from docwell.ingest.indexing import RangeIndexer
    from docwell.ingest.ingest import Ingest

    settings = ingest_settings()
    index, reader = vectors_of(settings, fingerprint), pdf_reader(settings)
    return Ingest(
        bucket=settings.bucket,
        store=_store(),
        ledger=ledger_of(settings, fingerprint, settings.lease_s),
        index=index,
        queue=task_queue(settings.queue_url),
        indexer=RangeIndexer(
            store=_store(),
            index=index,
            embedder=embedder_of(settings, pipeline.model_dir),
            reader=reader,
            limits=settings.model_copy(update={"chunk_tokens": pipeline.chunk_tokens}),
            recogniser=None if pipeline.ocr == "off" else recogniser_of(settings, reader),
        ),
        fingerprint=fingerprint,
        ocr_queue=task_queue(settings.ocr_queue_url) if settings.ocr_queue_url else None,
    )


@cache
def _store() -> S3ObjectStore:
    from docwell.adapters.aws import client
    from docwell.adapters.s3 import S3ObjectStore

    return S3ObjectStore(client("s3"), ingest_settings().bucket)


def source_queue(arn: str) -> SqsTaskQueue:
    """Return the queue with this ARN, of those that ingest reads from."""
    main, ocr = ingest_settings().queue_url, ingest_settings().ocr_queue_url
    return task_queue(ocr if ocr and ocr.rsplit("/", 1)[-1] == arn.rsplit(":", 1)[-1] else main)
