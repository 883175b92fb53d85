"""The token of an external Chroma server: sent with every request, and read again after a rotation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any, Literal

import httpx

from docwell.adapters.aws import vendor_errors
from docwell.errors import Unavailable

AuthHeader = Literal["Authorization", "X-Chroma-Token"]

_REFUSED = (401, 403)
_HEADER_VALUE = re.compile(r"[!-~]+")  # httpx would refuse others with an error that says nothing of the secret
# A rotated token is read at the first refusal. This bounds how long a revoked one that still works is sent.
_KEPT_S = 300.0
# A token that stays wrong or cannot be read is read at most this often: Secrets Manager bills each read,
# and a failed one takes seconds.
_AGAIN_S = 5.0


class TokenAuth(httpx.Auth):
    """Sends the token that `read` returns, for five minutes, and reads it again when a request is refused.

    While it cannot be read, requests have the last one, which Chroma judges. Without one they raise `Unavailable`.
    """

    def __init__(
        self, read: Callable[[], str], header: AuthHeader, clock: Callable[[], float] = monotonic
    ) -> None:
        """Read nothing yet."""
        self._read, self._header, self._clock = read, header, clock
        self._token, self._failure, self._tried_at = "", "", float("-inf")
        self._lock = Lock()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Yield the request with the token, and again with a changed token if the server refuses it."""
        token = self._sign(request)
        response = yield request
        if response.status_code in _REFUSED and self._sign(request, refused=token) != token:
            yield request

    def _sign(self, request: httpx.Request, refused: str | None = None) -> str:
        """Set and return the token, read again if it is old or the `refused` one. Raises `Unavailable`."""
        with self._lock:
            kept_s = _AGAIN_S if self._token in ("", refused) else _KEPT_S
            if self._clock() - self._tried_at >= kept_s:
                self._refresh()
            if not self._token:
                raise Unavailable("chroma", self._failure)
            token = self._token
        request.headers[self._header] = f"Bearer {token}" if self._header == "Authorization" else token
        return token

    def _refresh(self) -> None:
        """Read the token, or keep the last one and the failure."""
        try:
            self._token = self._read()
        except Unavailable as failure:
            self._failure = str(failure)
        self._tried_at = self._clock()


def secret_reader(client: Any, arn: str) -> Callable[[], str]:
    """Return a function that reads the key `token` of a secret in Secrets Manager. It raises `Unavailable`."""

    def read() -> str:
        with vendor_errors("chroma"):
            answer = client.get_secret_value(SecretId=arn)
        with suppress(ValueError, KeyError, TypeError):
            token = json.loads(answer["SecretString"])["token"]
            if isinstance(token, str) and _HEADER_VALUE.fullmatch(token):
                return token
        raise Unavailable("chroma", "the secret of chroma is not JSON with the key `token` and one ASCII word")

    return read
