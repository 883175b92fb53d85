"""What API Gateway does with `x-api-key`: the id of the key, for the event that the function gets."""

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
# A key that was made just now works after this time; guessing keys asks no more often than that.
_MISS_S = 0.1


class ApiKeys:
    """The enabled API keys of the AWS stand-in, asked again when what is known is too old."""

    def __init__(self, client: Any, clock: Callable[[], float] = time.monotonic) -> None:
        """`client` is boto3's for `apigateway`."""
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._ids: dict[str, str] = {}
        self._read_at = float("-inf")

    def id_of(self, value: str | None) -> str | None:
        """The id of the key with this value, None where there is none. May wait for the stand-in."""
        if not value:
            return None
        with self._lock:
            age = self._clock() - self._read_at
            if age > _FRESH_S or (value not in self._ids and age > _MISS_S):
                self._read()
            return self._ids.get(value)

    def _read(self) -> None:
        try:
            pages = self._client.get_paginator("get_api_keys").paginate(includeValues=True)
            keys = [key for page in pages for key in page["items"]]
        except (BotoCoreError, ClientError) as error:
            # The real one does not forget its keys when another service is down.
            print(f"{WARNING}the API keys cannot be read: {type(error).__name__}", flush=True)
        else:
            self._ids = {key["value"]: key["id"] for key in keys if key.get("enabled")}
        self._read_at = self._clock()
