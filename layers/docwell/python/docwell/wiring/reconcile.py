"""Build reconcile and re-index on real parts. Factories are cached: a warm invocation reuses them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from docwell.config import ReconcileSettings
from docwell.upkeep.erase import Erase, ErasePipeline
from docwell.upkeep.reconcile import Reconcile
from docwell.upkeep.reindex import Reindex
from docwell.wiring.pipelines import pipelines, roles_of, vectors_of
from docwell.wiring.stores import documents_of, ledger_of, state_store, task_queue

if TYPE_CHECKING:
    from docwell.adapters.dynamodb.ledger import DynamoLedger


# Raises `SettingsError`.
reconcile_settings = cache(ReconcileSettings.read)


def reconcile() -> tuple[Reconcile, ...]:
    """Return one `Reconcile` for each pipeline in use."""
    settings = reconcile_settings()
    return tuple(map(_reconcile, roles_of(settings).in_use(tuple(pipelines(settings)))))


def reindex() -> Reindex:
    """Return the use case that changes from one pipeline to the next."""
    settings = reconcile_settings()
    fingerprints = tuple(pipelines(settings))

    def unnamed() -> set[str]:
        """Return the fingerprints in the ledger that the settings do not name."""
        return set[str]().union(*(_ledger(name).others for name in fingerprints)).difference(fingerprints)

    return Reindex(known=fingerprints, state=state_store(settings), reconcile=_reconcile, others=unnamed)


def erase() -> Erase:
    """Return the use case that checks an erasure."""
    settings = reconcile_settings()
    in_use = roles_of(settings).in_use(tuple(pipelines(settings)))
    parts = (ErasePipeline(ledger_of(settings, name), vectors_of(settings, name)) for name in in_use)
    return Erase(documents_of(settings), task_queue(settings.queue_url), tuple(parts))


@cache
def _ledger(fingerprint: str) -> DynamoLedger:
    return ledger_of(reconcile_settings(), fingerprint)


@cache
def _reconcile(fingerprint: str) -> Reconcile:
    settings = reconcile_settings()
    return Reconcile(
        fingerprint=fingerprint,
        store=documents_of(settings),
        ledger=_ledger(fingerprint),
        index=vectors_of(settings, fingerprint),
        queue=task_queue(settings.queue_url),
        state=state_store(settings),
        limits=settings,
    )
