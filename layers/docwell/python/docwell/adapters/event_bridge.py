"""Events about documents on Amazon EventBridge, on the account's default bus."""

from __future__ import annotations

import json
from typing import Any

from docwell.adapters.aws import vendor_errors
from docwell.errors import Unavailable
from docwell.events import DocumentEvent

SOURCE = "docwell"


def put_event(client: Any, event: DocumentEvent) -> None:
    """Put the event on the bus, with its type as the detail type. Raises `Unavailable`."""
    entry = {"Source": SOURCE, "DetailType": event.type, "Time": event.time, "Detail": json.dumps(event.data)}
    with vendor_errors("events"):
        answer = client.put_events(Entries=[entry])
    if answer["FailedEntryCount"]:
        raise Unavailable("events", f"events: PutEvents answered {answer['Entries'][0].get('ErrorCode')}")
