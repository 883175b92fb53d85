"""Build reconcile and re-index on real parts. Factories are cached: a warm invocation reuses them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from docwell.config import ReconcileSettings
from docwell.pipeline import Roles
from docwell.wiring.pipelines import pipelines
from docwell.wiring.stores import ledger_of, state_store, task_queue, vectors_of

if TYPE_CHECKING:
    from docwell.upkeep.reconcile import Reconcile
    from docwell.upkeep.reindex import Reindex


@cache
def reconcile_settings() -> ReconcileSettings:
    """Return the reconcile function's settings. Raises `SettingsError`."""
    return ReconcileSettings.read()


def reconcile() -> tuple[Reconcile, ...]:
    """Return the use case for each pipeline in use."""
    settings = reconcile_settings()
    known = tuple(pipelines(settings))
    return tuple(_reconcile(one) for one in Roles.read(state_store(settings), known).in_use(known))


def reindex() -> Reindex:
    """Return the use case that changes from one pipeline to the next."""
    from docwell.upkeep.reindex import Reindex

    settings = reconcile_settings()
    return Reindex(known=tuple(pipelines(settings)), state=state_store(settings), reconcile=_reconcile)


@cache
def _reconcile(fingerprint: str) -> Reconcile:
    from docwell.adapters.aws import client
    from docwell.adapters.s3 import S3ObjectStore
    from docwell.upkeep.reconcile import Reconcile

    settings = reconcile_settings()
    return Reconcile(
        fingerprint=fingerprint,
        store=S3ObjectStore(client("s3"), settings.bucket),
        ledger=ledger_of(settings, fingerprint),
        index=vectors_of(settings, fingerprint),
        queue=task_queue(settings.queue_url),
        state=state_store(settings),
        limits=settings,
    )
