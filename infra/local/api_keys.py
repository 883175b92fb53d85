"""Look up the id of the key in `x-api-key`, as API Gateway does for the function's event."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.names import WARNING

HEADER = "x-api-key"
# A revoked key stops working within this time.
_FRESH_S = 1.0
# A new key works after this time. Requests with unknown keys read the keys at most this often.
_MISS_S = 0.1


class KeysUnavailable(Exception):
    """The API keys cannot be read, so an unknown key may be valid."""


class ApiKeys:
    """A cache of the enabled API keys of the local AWS server."""

    def __init__(self, client: Any, clock: Callable[[], float] = time.monotonic) -> None:
        """`client` is boto3's for `apigateway`."""
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._ids: dict[str, str] = {}
        self._read_at = float("-inf")
        self._complete = False

    def id_of(self, value: str | None) -> str | None:
        """Return the id of the key with this value, or None. May wait for the local AWS server.

        Raises `KeysUnavailable` if the key is unknown and the keys could not be read.
        """
        if not value:
            return None
        with self._lock:
            age = self._clock() - self._read_at
            if age > _FRESH_S or (value not in self._ids and age > _MISS_S):
                self._read()
            if value not in self._ids and not self._complete:
                raise KeysUnavailable
            return self._ids.get(value)

    def _read(self) -> None:
        try:
            pages = self._client.get_paginator("get_api_keys").paginate(includeValues=True)
            keys = [key for page in pages for key in page["items"]]
        except (BotoCoreError, ClientError) as error:
            # Keep the known keys: API Gateway does not depend on another service.
            print(f"{WARNING}the API keys cannot be read: {type(error).__name__}", flush=True)
            self._complete = False
        else:
            self._ids = {key["value"]: key["id"] for key in keys if key.get("enabled")}
            self._complete = True
        self._read_at = self._clock()
