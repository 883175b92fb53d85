"""The token and the certificates of a server: used for every request, and read again after a rotation."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any, Literal, NamedTuple

import httpx

from docwell.adapters.aws import vendor_errors
from docwell.errors import Unavailable

AuthHeader = Literal["Authorization", "X-Chroma-Token"]

_REFUSED = (401, 403)
_HEADER_VALUE = re.compile(r"[!-~]+")  # httpx would reject others without naming the secret
# A refusal reads a rotated token at once. This bounds how long a revoked token is sent, and how long a rotation
# waits until every process trusts the next certificate (infra/release/credentials.py).
KEPT_S = 300.0
# Read a token that stays wrong or unreadable at most this often: Secrets Manager bills each read, and a failed
# read takes seconds.
_AGAIN_S = 5.0


class Credential(NamedTuple):
    """A token, and certificates in PEM to trust beside the public authorities, or nothing."""

    token: str
    certificates: str = ""


class ServerAuth(httpx.Auth):
    """Sends the token that `read` returns, for five minutes, and reads it again when a request is refused.

    `tls` is the context for the server's connections; it trusts the certificates once they are read. While the
    credential cannot be read, requests send the last token. Without a token they raise `Unavailable` of `server`.
    """

    def __init__(
        self,
        read: Callable[[], Credential],
        header: AuthHeader = "Authorization",
        server: str = "chroma",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.tls = httpx.create_ssl_context()
        self._read, self._header, self._server, self._clock = read, header, server, clock
        self._credential, self._failure, self._tried_at = Credential(""), "", float("-inf")
        self._lock = Lock()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Yield the request with the token; if the server refuses it, yield it again with a changed token."""
        token = self._sign(request)
        response = yield request
        if response.status_code in _REFUSED and self._sign(request, refused=token) != token:
            yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same as `sync_auth_flow` without blocking the event loop: reading a secret calls AWS."""
        token = await asyncio.to_thread(self._sign, request)
        response = yield request
        if response.status_code in _REFUSED and await asyncio.to_thread(self._sign, request, token) != token:
            yield request

    def _sign(self, request: httpx.Request, refused: str | None = None) -> str:
        """Set and return the token; read it again if it is old or is the `refused` one. Raises `Unavailable`."""
        with self._lock:
            kept_s = _AGAIN_S if self._credential.token in ("", refused) else KEPT_S
            if self._clock() - self._tried_at >= kept_s:
                try:
                    read = self._read()
                    if read.certificates and read.certificates != self._credential.certificates:
                        self.tls.load_verify_locations(cadata=read.certificates)
                    self._credential = read
                except Unavailable as failure:  # keep the last one
                    self._failure = str(failure)
                except (ssl.SSLError, ValueError):
                    self._failure = f"the `certificates` in the secret of {self._server} are not PEM"
                self._tried_at = self._clock()
            token = self._credential.token
            if not token:
                raise Unavailable(self._server, self._failure)
        request.headers[self._header] = f"Bearer {token}" if self._header == "Authorization" else token
        return token


def secret_reader(client: Any, arn: str, server: str) -> Callable[[], Credential]:
    """Return a function that reads a secret in Secrets Manager: JSON with `token` and perhaps `certificates`.

    It raises `Unavailable`.
    """

    def read() -> Credential:
        with vendor_errors(server):
            answer = client.get_secret_value(SecretId=arn)
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            secret = json.loads(answer["SecretString"])
            token, certificates = secret["token"], secret.get("certificates", "")
            if isinstance(token, str) and _HEADER_VALUE.fullmatch(token) and isinstance(certificates, str):
                return Credential(token, certificates)
        raise Unavailable(server, f"the secret of {server} is not JSON with the key `token` and one ASCII word")

    return read
