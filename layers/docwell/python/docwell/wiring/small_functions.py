"""Build the small functions on real parts: reconcile and re-index, authorizer, canary and publisher of events."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING

from docwell.adapters import aws
from docwell.adapters.canary import cited_by, keep_object, report_hook
from docwell.adapters.dynamodb.audit import DynamoAudit
from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState, outcome_in
from docwell.adapters.dynamodb.principals import DynamoApiKeys
from docwell.adapters.event_bridge import put_event
from docwell.config import AuthorizerSettings, CanarySettings, EventsSettings, ReconcileSettings
from docwell.events import DocumentEvent, Publisher
from docwell.upkeep.canary import Canary
from docwell.upkeep.erase import Erase
from docwell.upkeep.reconcile import Reconcile
from docwell.upkeep.reindex import Reindex
from docwell.wiring import pipelines as shared

if TYPE_CHECKING:
    from docwell.access.authorizer import Authorizer


# Each raises `SettingsError`.
authorizer_settings = cache(AuthorizerSettings.read)
canary_settings = cache(CanarySettings.read)
events_settings = cache(EventsSettings.read)
reconcile_settings = cache(ReconcileSettings.read)


def reconcile() -> tuple[Reconcile, ...]:
    """Return one `Reconcile` for each pipeline in use."""
    settings = reconcile_settings()
    return tuple(map(_reconcile, shared.roles_of(settings).in_use(tuple(shared.pipelines(settings)))))


def reindex() -> Reindex:
    """Return the use case that changes from one pipeline to the next."""
    settings = reconcile_settings()
    fingerprints = tuple(shared.pipelines(settings))

    def unnamed() -> set[str]:
        """Return the fingerprints in the ledger that the settings do not name."""
        return set[str]().union(*(_ledger(name).others for name in fingerprints)).difference(fingerprints)

    return Reindex(known=fingerprints, state=shared.state_store(settings), reconcile=_reconcile, others=unnamed)


def erase() -> Erase:
    """Return the use case that checks an erasure."""
    settings = reconcile_settings()
    in_use = shared.roles_of(settings).in_use(tuple(shared.pipelines(settings)))
    stores = [(shared.ledger_of(settings, name), shared.vectors_of(settings, name)) for name in in_use]
    return Erase(shared.documents_of(settings), shared.task_queue(settings.queue_url), stores)


@cache
def _ledger(fingerprint: str) -> DynamoLedger:
    return shared.ledger_of(reconcile_settings(), fingerprint)


@cache
def _reconcile(fingerprint: str) -> Reconcile:
    settings = reconcile_settings()
    return Reconcile(
        fingerprint=fingerprint,
        store=shared.documents_of(settings),
        ledger=_ledger(fingerprint),
        index=shared.vectors_of(settings, fingerprint),
        queue=shared.task_queue(settings.queue_url),
        state=shared.state_store(settings),
        limits=settings,
    )


@cache
def authorizer() -> Authorizer:
    """Return the authorizer."""
    from docwell.access.authorizer import Authorizer
    from docwell.adapters.tokens import IssuerTokens, SigningKeys

    settings = authorizer_settings()
    dynamodb = aws.client("dynamodb", quick=True)
    keys = DynamoApiKeys(dynamodb, settings.principals_table)
    trail = DynamoAudit(dynamodb, settings.audit_table) if settings.audit_table else None
    if settings.token_issuer is None or settings.token_clients is None:  # the settings have both or neither
        return Authorizer(keys.find, trail=trail)
    # A plain string: Pydantic would add a slash to a bare host.
    url = settings.token_keys_url or f"{settings.token_issuer.rstrip('/')}/.well-known/openid-configuration"
    audiences, groups = settings.token_clients.split(","), settings.groups_claim
    tokens = IssuerTokens(settings.token_issuer, audiences, SigningKeys(url), settings.principal_claim, groups)
    return Authorizer(keys.find, tokens.identify, trail=trail)


@cache
def canary() -> Canary:
    """Return the canary."""
    return Canary(
        keep=partial(keep_object, aws.client("s3"), canary_settings().bucket),
        cited=partial(cited_by, aws.client("lambda")),
        state=DynamoState(aws.client("dynamodb", quick=True), canary_settings().ledger_table),
        document=(files("docwell.upkeep") / "canary.pdf").read_bytes(),
    )


@cache
def hooks() -> Callable[[str, str, str], None]:
    """Return the report to CodeDeploy of a deployment, an execution of its hook, and the status of this."""
    return partial(report_hook, aws.client("codedeploy"))


@cache
def publisher() -> Publisher:
    """Return the publisher of events, to the webhook of the settings or else to EventBridge."""
    settings = events_settings()
    send: Callable[[DocumentEvent], None]
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        import httpx

        from docwell.adapters.webhook import TIMEOUT_S, post_event

        client = httpx.Client(timeout=TIMEOUT_S)
        send = partial(post_event, client, str(settings.webhook_url), settings.webhook_secret)
    else:
        send = partial(put_event, aws.client("events"))
    return Publisher(settings.bucket, outcome_in, send)
