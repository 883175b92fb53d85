"""Tokens of a Cognito user pool: their signature and their claims."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from threading import Lock
from typing import Any

import jwt
import urllib3

from docwell.errors import Unauthenticated, Unavailable
from docwell.identity import NO_CREDENTIAL, SUBJECT, Identity, groups_of, is_id

# Cognito signs only with RS256. So a token cannot choose `none`, or HS256 with the public key as the secret.
_ALGORITHM = "RS256"
_CLAIMS = ("exp", "iat", "iss", "sub", "token_use")
# The claim with the client, by `token_use`.
_CLIENT = {"access": "client_id", "id": "aud"}
# The allowed difference between the clocks of the pool and of this machine.
_LEEWAY_S = 10.0
# A pool publishes a new signing key long before it uses it.
_REFRESH_S = 3_600.0
# While the keys cannot be read, tokens of known keys stay valid for a day.
_KEPT_S = 86_400.0
# Anyone can write a token with an unknown key: such tokens read the keys at most this often.
_AGAIN_S = 10.0
_TIMEOUT = urllib3.Timeout(connect=1.0, read=2.0)
# A pool has two keys, of 400 bytes each.
_MAX_BYTES = 65_536


class SigningKeys:
    """The public keys at a URL, by their ids."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Do not read the keys yet."""
        self._url, self._clock = url, clock
        self._http = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")
        self._lock = Lock()

    def find(self, id_: str) -> jwt.PyJWK | None:
        """Return the key; None if the pool has no such key. Raises `Unavailable` when the keys are unreadable."""
        with self._lock:
            is_old = self._clock() - self._read_at > _REFRESH_S
            if (is_old or id_ not in self._keys) and self._clock() - self._tried_at >= _AGAIN_S:
                self._read()
            if self._clock() - self._read_at > _KEPT_S:
                raise Unavailable("user pool", "its signing keys cannot be read", retry_after=_AGAIN_S)
            return self._keys.get(id_)

    def _read(self) -> None:
        self._tried_at = self._clock()
        try:
            response = self._http.request("GET", self._url, redirect=False, preload_content=False)
            try:
                body = response.read(_MAX_BYTES + 1)
            finally:
                response.release_conn()
            if response.status == HTTPStatus.OK and len(body) <= _MAX_BYTES:
                keys = jwt.PyJWKSet.from_dict(json.loads(body)).keys
                self._keys = {key.key_id: key for key in keys if key.key_id and key.key_type == "RSA"}
                self._read_at = self._clock()
        except (urllib3.exceptions.HTTPError, jwt.PyJWTError, ValueError, TypeError, AttributeError):
            return  # keep the known keys


class UserPoolTokens:
    """`docwell.access.authorizer.Tokens` of one user pool."""

    def __init__(self, issuer: str, clients: Collection[str], keys: SigningKeys) -> None:
        """Accept access and ID tokens of the issuer for the client ids."""
        self._issuer, self._clients, self._keys = issuer, frozenset(clients), keys

    def identify(self, token: str) -> Identity:
        """Return the subject of a valid token, with its groups. Raises `Unauthenticated`, `Unavailable`."""
        try:
            claims = self._claims(token)
        # Deeply nested lists in a header or a body exceed the recursion limit.
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated(NO_CREDENTIAL) from None
        client = claims.get(_CLIENT.get(str(claims["token_use"]), ""))
        if not (isinstance(client, str) and client in self._clients and is_id(claims["sub"])):
            raise Unauthenticated(NO_CREDENTIAL)
        return Identity(f"{SUBJECT}{claims['sub']}", groups_of(claims))

    def _claims(self, token: str) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        key = self._keys.find(header.get("kid", "")) if header.get("alg") == _ALGORITHM else None
        if key is None:
            raise Unauthenticated(NO_CREDENTIAL)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            issuer=self._issuer,
            leeway=_LEEWAY_S,
            # The client is in `aud` or `client_id`; `identify` checks it.
            options={"require": list(_CLAIMS), "verify_aud": False},
        )
        return claims
