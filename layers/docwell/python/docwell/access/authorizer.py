"""The one authorizer: it turns the headers of a request into a caller, or denies the request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock

from cachetools import TTLCache

from docwell.access.credentials import Credential, credentials_of, digest_of
from docwell.access.ports import ApiKeys, Tokens
from docwell.errors import Unauthenticated
from docwell.identity import KEY, NO_CREDENTIAL, ApiKey, Identity, is_id

# The change of a key's end counts after this time. A revoked grant counts at once, because the query function
# reads it for each request.
KEPT_S = 10.0
# Callers of one process that are known at once, of some hundred bytes each.
_KEPT_KEYS = 1_000


@dataclass(frozen=True, slots=True)
class Caller:
    """An authorized caller. A usage plan counts the API key with the value `usage_key`; None for a token."""

    identity: Identity
    usage_key: str | None = None


class Authorizer:
    """Finds the caller of a request. What it does not know, it denies."""

    def __init__(
        self, keys: ApiKeys, tokens: Tokens | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Without `tokens`, API keys alone are valid."""
        self._keys, self._tokens, self._clock = keys, tokens, clock
        self._kept: TTLCache[str, ApiKey] = TTLCache(_KEPT_KEYS, KEPT_S, timer=clock)
        self._lock = Lock()

    def identify(self, headers: Iterable[tuple[str, str]]) -> Caller:
        """Return the caller that the headers (name, value) name. Two credentials must name the same caller.

        Raises `Unauthenticated`, and `Unavailable` when keys or signing keys cannot be read.
        """
        callers = [self._caller(credential) for credential in credentials_of(headers)]
        if len({caller.identity for caller in callers}) != 1:
            raise Unauthenticated(NO_CREDENTIAL)
        return callers[0]

    def _caller(self, credential: Credential) -> Caller:
        if credential.is_token:
            if self._tokens is None:
                raise Unauthenticated(NO_CREDENTIAL)
            return Caller(self._tokens.identify(credential.value))
        key = self._key(digest_of(credential.value))
        # `ends_at` is compared each time, so a cached key ends in time.
        if key is None or (key.ends_at is not None and self._clock() >= key.ends_at):
            raise Unauthenticated(NO_CREDENTIAL)
        if not (key.principal.startswith(KEY) and is_id(key.principal.removeprefix(KEY))):
            raise Unauthenticated(NO_CREDENTIAL)
        return Caller(Identity(key.principal), credential.value)

    def _key(self, digest: str) -> ApiKey | None:
        with self._lock:
            key = self._kept.get(digest)
        if key is None and (key := self._keys.find(digest)) is not None:
            with self._lock:
                self._kept[digest] = key
        return key
