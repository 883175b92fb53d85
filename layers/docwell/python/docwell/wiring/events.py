"""Build the publisher of events on real parts. Factories are cached: a warm invocation reuses them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from docwell.config import EventsSettings
from docwell.events import Publisher

if TYPE_CHECKING:
    from docwell.events import EventSink


@cache
def events_settings() -> EventsSettings:
    """Return the events function's settings. Raises `SettingsError`."""
    return EventsSettings.read()


@cache
def publisher() -> Publisher:
    """Return the publisher of events."""
    from docwell.adapters.dynamodb.ledger import outcome_in

    return Publisher(events_settings().bucket, outcome_in, _sink())


def _sink() -> EventSink:
    """Return the webhook of the settings, else EventBridge."""
    settings = events_settings()
    if settings.webhook_url is not None and settings.webhook_key is not None:
        import httpx

        from docwell.adapters.webhook import TIMEOUT_S, Webhook

        return Webhook(httpx.Client(timeout=TIMEOUT_S), str(settings.webhook_url), settings.webhook_key)
    from docwell.adapters.aws import client
    from docwell.adapters.event_bridge import EventBridge

    return EventBridge(client("events"))
