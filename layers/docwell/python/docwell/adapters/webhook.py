"""Events about documents to an HTTP address, signed as in Standard Webhooks.

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


def post_event(client: httpx.Client, url: str, secret: bytes, event: DocumentEvent) -> None:
    """Post the event once, with the time in seconds since the epoch; the receiver shares the secret.

    Raises `Unavailable` for any answer but success; redirects are not followed.
    """
    body, sent_at = event.body.encode(), str(int(time.time()))
    digest = hmac.digest(secret, f"{event.id}.{sent_at}.".encode() + body, "sha256")
    headers = {
        "webhook-id": event.id,
        "webhook-timestamp": sent_at,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        "content-type": "application/json",
    }
    try:
        # Do not read the body of the answer: it may be long.
        with client.stream("POST", url, content=body, headers=headers) as answer:
            if not answer.is_success:
                raise Unavailable("webhook", f"the webhook answered with status {answer.status_code}")
    except httpx.HTTPError as error:
        raise Unavailable("webhook", f"the webhook does not answer: {type(error).__name__}") from error
