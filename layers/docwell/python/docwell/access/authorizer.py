"""The authorizer: it turns the headers of a request into a caller, and the caller into API Gateway's answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

from cachetools import TTLCache

from docwell.audit import Action, AuditEvent
from docwell.errors import Unauthenticated, Unavailable
from docwell.identity import KEY, KEY_HEADER, NO_CREDENTIAL, TOKEN_HEADER, ApiKey, Identity, digest_of, is_id
from docwell.ports import AuditTrail

# API Gateway's limit for the value of a key.
MAX_KEY_CHARACTERS = 128
# API Gateway takes 10,240 bytes of headers; a token of Cognito with 99 groups has about 4,000 characters.
MAX_TOKEN_CHARACTERS = 8_192
# A request may have a key in both headers. More would only cost lookups.
MAX_CREDENTIALS = 2
# Seconds to cache a key: a changed end takes effect after them, a revoked grant at once (queries read grants).
KEPT_S = 10.0
# The most keys that a process caches, of some hundred bytes each.
_KEPT_KEYS = 1_000


@dataclass(frozen=True, slots=True)
class Caller:
    """An authorized caller. A usage plan counts the API key with the value `usage_key`, or the tokens' key."""

    identity: Identity
    usage_key: str | None = None


class Authorizer:
    """Finds the caller of a request, and denies every unknown credential.

    `find_key` returns the API key whose value has a digest, even if it has ended, or None. `read_token` returns
    the subject of a valid token; without it, API keys alone are valid. Both raise `Unavailable`.
    """

    def __init__(
        self,
        find_key: Callable[[str], ApiKey | None],
        read_token: Callable[[str], Identity] | None = None,
        clock: Callable[[], float] = time.time,
        trail: AuditTrail | None = None,
    ) -> None:
        self._find_key, self._read_token, self._clock, self._trail = find_key, read_token, clock, trail
        self._kept: TTLCache[str, ApiKey] = TTLCache(_KEPT_KEYS, KEPT_S, timer=clock)
        self._lock = Lock()

    def identify(self, headers: Iterable[tuple[str, str]], address: str = "") -> Caller:
        """Return the caller of the headers (name, value). Two credentials must name the same caller.

        Raises `Unauthenticated`, which the audit trail has by the client's `address`, and `Unavailable` when keys
        or signing keys cannot be read.
        """
        try:
            return self._identified(headers)
        except Unauthenticated:
            if self._trail:
                with suppress(Unavailable):
                    self._trail.append(AuditEvent(f"address:{address}", Action.REFUSED, subject="unauthenticated"))
            raise

    def _identified(self, headers: Iterable[tuple[str, str]]) -> Caller:
        sent = [(name.lower(), value) for name, value in headers]
        credentials = {_credential(*row) for row in sent if row[0] in (KEY_HEADER, TOKEN_HEADER)}
        if len(credentials) > MAX_CREDENTIALS:
            raise Unauthenticated(NO_CREDENTIAL)
        callers = [self._caller(value, is_token=is_token) for value, is_token in credentials]
        if len({caller.identity for caller in callers}) != 1:
            raise Unauthenticated(NO_CREDENTIAL)
        return callers[0]

    def _caller(self, value: str, *, is_token: bool) -> Caller:
        if is_token:
            if self._read_token is None:
                raise Unauthenticated(NO_CREDENTIAL)
            return Caller(self._read_token(value))
        key = self._key(digest_of(value))
        # `ends_at` is compared each time, so a cached key ends in time.
        if key is None or (key.ends_at is not None and self._clock() >= key.ends_at):
            raise Unauthenticated(NO_CREDENTIAL)
        if not (key.principal.startswith(KEY) and is_id(key.principal.removeprefix(KEY))):
            raise Unauthenticated(NO_CREDENTIAL)
        return Caller(Identity(key.principal), value if key.in_gateway else None)

    def _key(self, digest: str) -> ApiKey | None:
        with self._lock:
            key = self._kept.get(digest)
        if key is None and (key := self._find_key(digest)) is not None:
            with self._lock:
                self._kept[digest] = key
        return key


def headers_of(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the headers (name, value) of an event, repeated ones too."""
    for name, values in (event.get("multiValueHeaders") or {}).items():
        for value in values:
            yield name, value


def context_of(caller: Caller) -> dict[str, str]:
    """Return the caller from `requestContext.authorizer` of an event."""
    return {"principalId": caller.identity.id, "groups": json.dumps(caller.identity.groups)}


def allowed(method_arn: str, caller: Caller, token_usage_key: str | None) -> dict[str, Any]:
    """Return the answer that lets the caller in.

    In a usage plan, `token_usage_key` counts a caller whose credential API Gateway does not know.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
    """
    context = context_of(caller)
    return {
        **_answer(context.pop("principalId"), "Allow", method_arn),
        "context": context,
        "usageIdentifierKey": caller.usage_key or token_usage_key,
    }


def denied(method_arn: str) -> dict[str, Any]:
    """Return the answer that denies the request. The template gives it the status 401."""
    return _answer("unknown", "Deny", method_arn)


def _answer(principal: str, effect: str, method_arn: str) -> dict[str, Any]:
    """Return a policy for the whole stage: API Gateway caches it, so it must fit all methods."""
    api, stage, *_ = method_arn.split("/")
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": f"{api}/{stage}/*"}
    return {"principalId": principal, "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}


def _credential(name: str, value: str) -> tuple[str, bool]:
    """Return the credential of a header, and whether it is a token. Raises `Unauthenticated` for another form."""
    if name == TOKEN_HEADER:
        scheme, _, value = value.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(NO_CREDENTIAL)
        value = value.strip(" ")
    # API Gateway makes key values of letters and digits, without dots.
    is_token = name == TOKEN_HEADER and "." in value
    if not 0 < len(value) <= (MAX_TOKEN_CHARACTERS if is_token else MAX_KEY_CHARACTERS):
        raise Unauthenticated(NO_CREDENTIAL)
    return value, is_token
