"""``python -m runtime ingest``: messages of the queues to the ingest function."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from docwell.config import IngestSettings
from runtime.functions import FunctionPool
from runtime.log import log
from runtime.names import MAX_DEAD_RECEIVES
from runtime.poller import MAX_BACK_OFF_S, WAIT_S, Poller, PollerSettings
from runtime.service import END_S, Service, function_spec
from runtime.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

# A dead letter must be handled within a minute.
DEAD_BACK_OFF_S = 5


def queues(settings: WorkerSettings, limits: IngestSettings) -> Mapping[str, PollerSettings]:
    """Return how to poll each queue, by its URL.

    Scanned pages and dead letters have one extra worker each, so that they never wait for other documents. A
    worker starts a process only when a message comes.
    """

    def polled(workers: int, most_s: int, receives: int) -> PollerSettings:
        return PollerSettings(
            workers=workers,
            visibility_s=round(limits.visibility_s),
            max_back_off_s=most_s,
            max_receives=receives,
            lease_s=round(limits.lease_s),
        )

    pollers = {limits.dead_letter_queue_url: polled(1, DEAD_BACK_OFF_S, MAX_DEAD_RECEIVES)}
    if limits.ocr_queue_url:  # without OCR too: documents may wait there
        pollers[limits.ocr_queue_url] = polled(1, MAX_BACK_OFF_S, limits.max_receives)
    main = settings.ingest_queue_url or limits.queue_url
    return pollers | {main: polled(settings.processes, MAX_BACK_OFF_S, limits.max_receives)}


def run(handler: str) -> int:
    """Run until SIGTERM. Raises `SettingsError`, `OSError`."""
    settings, limits = WorkerSettings.read(), IngestSettings.read()
    if limits.ocr == "rapidocr":
        from docwell.adapters.documents.document_reader import check_installed

        check_installed()
    service = Service(settings, {"service": "ingest", "function": "docwell-ingest"})
    by_url = queues(settings, limits)
    workers = sum(poller.workers for poller in by_url.values())
    spec = function_spec("ingest", handler, settings.timeout_s, settings.processes, service.on_line)
    pool = FunctionPool(spec, concurrency=workers, publishes=True)
    # boto3 reads region, endpoint and credentials from AWS's own variables.
    config = Config(connect_timeout=5, read_timeout=WAIT_S + 20, retries={"total_max_attempts": 1})
    sqs = boto3.client("sqs", config=config)
    pollers = [Poller(sqs, url, pool, poller_settings) for url, poller_settings in by_url.items()]

    def begin() -> None:
        for poller in pollers:
            poller.start()
        log("INFO", "waiting for documents")

    def stop(deadline: float) -> None:
        for poller in pollers:
            poller.stop()
        done = all(poller.join(deadline) for poller in pollers)
        pool.close()
        if not done:  # the calls have now failed, and their messages return
            last = time.monotonic() + END_S
            for poller in pollers:
                poller.join(last)

    service.start(pool, begin)
    return service.run(lambda: all(poller.answered for poller in pollers), stop)
