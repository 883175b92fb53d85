"""`docwell.events.EventSink` by an HTTP address, signed as in Standard Webhooks.

The stack on one machine uses it. In AWS, EventBridge's API destinations call webhooks.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hmac
import time

import httpx

from docwell.errors import Unavailable
from docwell.events import DocumentEvent

# Seconds to connect and between two reads. A receiver should store the event and work later.
TIMEOUT_S = 10.0


def signed_headers(secret: bytes, id_: str, seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers of a body that is sent at this time, in seconds since the epoch."""
    digest = hmac.digest(secret, f"{id_}.{seconds}.".encode() + body, "sha256")
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


class Webhook:
    """A receiver at an address, which shares a secret with docwell."""

    def __init__(self, client: httpx.Client, url: str, secret: bytes) -> None:
        self._client = client
        self._url = url
        self._secret = secret

    def send(self, event: DocumentEvent) -> None:
        """Post the event once. Raises `Unavailable` for any answer but success; redirects are not followed."""
        body = event.body.encode()
        headers = signed_headers(self._secret, event.id, int(time.time()), body)
        headers["content-type"] = "application/json"
        try:
            # Do not read the body of the answer: it may be long.
            with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
                if not answer.is_success:
                    raise Unavailable("webhook", f"the webhook answered with status {answer.status_code}")
        except httpx.HTTPError as error:
            raise Unavailable("webhook", f"the webhook does not answer: {type(error).__name__}") from error
