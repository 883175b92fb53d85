"""The token of an external Chroma server: sent with every request, and read again after a rotation."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from threading import Lock
from time import monotonic
from typing import Any, Literal

import httpx

from docwell.adapters.aws import vendor_errors
from docwell.errors import Unavailable

AuthHeader = Literal["Authorization", "X-Chroma-Token"]

_REFUSED = (401, 403)
# A rotated token is read at the first refusal. This bounds how long a revoked one that still works is sent.
_KEPT_S = 300.0
# A token that stays wrong is read at most this often: Secrets Manager bills each read.
_AGAIN_S = 5.0


class TokenAuth(httpx.Auth):
    """Sends the token that `read` returns, for five minutes, and reads it again when a request is refused."""

    def __init__(
        self, read: Callable[[], str], header: AuthHeader, clock: Callable[[], float] = monotonic
    ) -> None:
        """Read nothing yet."""
        self._read, self._header, self._clock = read, header, clock
        self._token, self._read_at = "", float("-inf")
        self._lock = Lock()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Yield the request with the token, and again with a changed token if the server refuses it."""
        token = self._sign(request, _KEPT_S)
        response = yield request
        if response.status_code in _REFUSED and self._sign(request, _AGAIN_S) != token:
            yield request

    def _sign(self, request: httpx.Request, kept_s: float) -> str:
        """Set and return the token, read again if it is older than `kept_s`."""
        with self._lock:
            if self._clock() - self._read_at >= kept_s:
                self._token = self._read()
                self._read_at = self._clock()
            token = self._token
        request.headers[self._header] = f"Bearer {token}" if self._header == "Authorization" else token
        return token


def secret_reader(client: Any, arn: str) -> Callable[[], str]:
    """Return a function that reads the key `token` of a secret in Secrets Manager. It raises `Unavailable`."""

    def read() -> str:
        with vendor_errors("chroma"):
            text = client.get_secret_value(SecretId=arn)["SecretString"]
        try:
            return str(json.loads(text)["token"])
        except (ValueError, KeyError, TypeError):
            raise Unavailable("chroma", "the secret of chroma is not JSON with the key `token`") from None

    return read
