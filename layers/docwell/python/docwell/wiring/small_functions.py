"""Build the small functions on real parts: authorizer, canary and publisher of events.

Factories are cached: a warm invocation reuses them. They import what only one of the functions needs.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from docwell.config import AuthorizerSettings, CanarySettings, EventsSettings

if TYPE_CHECKING:
    from docwell.access.authorizer import Authorizer, Tokens
    from docwell.adapters.canary import CodeDeployHooks
    from docwell.events import EventSink, Publisher
    from docwell.upkeep.canary import Canary


# Each raises `SettingsError`.
authorizer_settings = cache(AuthorizerSettings.read)
canary_settings = cache(CanarySettings.read)
events_settings = cache(EventsSettings.read)


@cache
def authorizer() -> Authorizer:
    """Return the authorizer."""
    from docwell.access.authorizer import Authorizer
    from docwell.adapters.aws import client
    from docwell.adapters.dynamodb.principals import DynamoApiKeys

    keys = DynamoApiKeys(client("dynamodb", quick=True), authorizer_settings().principals_table)
    return Authorizer(keys, _tokens())


def _tokens() -> Tokens | None:
    from docwell.adapters.tokens import SigningKeys, UserPoolTokens

    settings = authorizer_settings()
    if settings.token_issuer is None or settings.token_clients is None:  # the settings have both or neither
        return None
    # A plain string: the claim `iss` is compared as text, and Pydantic would add a slash to a bare host.
    url = settings.token_keys_url or f"{settings.token_issuer}/.well-known/jwks.json"
    return UserPoolTokens(settings.token_issuer, settings.token_clients.split(","), SigningKeys(url))


@cache
def canary() -> Canary:
    """Return the canary."""
    from docwell.adapters.aws import client
    from docwell.adapters.canary import LambdaQueryVersions, S3CanaryBucket
    from docwell.adapters.dynamodb.ledger import DynamoState
    from docwell.query.retrieval.scope import NOTHING_INDEXED
    from docwell.upkeep.canary import Canary

    return Canary(
        bucket=S3CanaryBucket(client("s3"), canary_settings().bucket),
        versions=LambdaQueryVersions(client("lambda"), NOTHING_INDEXED),
        state=DynamoState(client("dynamodb", quick=True), canary_settings().ledger_table),
        document=(files("docwell.upkeep") / "canary.pdf").read_bytes(),
    )


@cache
def hooks() -> CodeDeployHooks:
    """Return CodeDeploy, which waits for the result of a hook."""
    from docwell.adapters.aws import client
    from docwell.adapters.canary import CodeDeployHooks

    return CodeDeployHooks(client("codedeploy"))


@cache
def publisher() -> Publisher:
    """Return the publisher of events."""
    from docwell.adapters.dynamodb.ledger import outcome_in
    from docwell.events import Publisher

    return Publisher(events_settings().bucket, outcome_in, _sink())


def _sink() -> EventSink:
    """Return the webhook of the settings, else EventBridge."""
    settings = events_settings()
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        import httpx

        from docwell.adapters.webhook import TIMEOUT_S, Webhook

        return Webhook(httpx.Client(timeout=TIMEOUT_S), str(settings.webhook_url), settings.webhook_secret)
    from docwell.adapters.aws import client
    from docwell.adapters.event_bridge import EventBridge

    return EventBridge(client("events"))
