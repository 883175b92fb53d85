"""The identity of a caller, as the gateway's event has it.

Only `requestContext` counts: the gateway writes it, and a client cannot. The API key itself
(`requestContext.identity.apiKey`) is a secret and is not read; its id is enough.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docwell.errors import Unauthenticated

KEY, SUBJECT, GROUP = "key:", "sub:", "group:"

# One BatchGetItem reads the caller's grant and its groups' grants, and takes 100 keys.
MAX_GROUPS = 99
# OpenID Connect limits a subject to 255 ASCII characters; API Gateway's key ids are letters and digits.
_ID = re.compile(r"[!-~]{1,255}")
# API Gateway writes a list of groups as "a,b" or "[a b]": a name with a separator would read as two groups.
_GROUP = re.compile(r"[^\s,\[\]\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,128}")
_SEPARATORS = re.compile(r"[\s,\[\]]+")
_GROUP_CLAIMS = ("cognito:groups", "groups")


@dataclass(frozen=True, slots=True)
class Identity:
    """`id` is `key:<API key id>` or `sub:<JWT subject>`; `groups` are bare names, sorted, `MAX_GROUPS` at most."""

    id: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller and its rights. `collections` None means all; a quota of None means no limit."""

    id: str
    collections: frozenset[str] | None = frozenset()
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    label: str = ""

    def may_read(self, collection: str) -> bool:
        """Return whether this principal may see the collection."""
        return self.collections is None or collection in self.collections


# `sam local` has no authorizer: use this principal, which has no grants by default.
SAM_LOCAL = Identity(f"{KEY}sam-local")


def identity_of(event: Mapping[str, Any]) -> Identity:
    """Return the caller of a REST API (or of an HTTP API with a JWT authorizer).

    A token wins over an API key: the token names a person, the key a program. A program that forwards a person's
    token must not lend that person its own rights. For the same reason, the key does not count when an authorizer
    has named no subject.

    Raises:
        Unauthenticated: the gateway names no caller, or an invalid one.
    """
    context = _mapping(event.get("requestContext"))
    authorizer = _mapping(context.get("authorizer"))
    # A REST API's Cognito authorizer, then an HTTP API's JWT authorizer.
    for claims in (authorizer.get("claims"), _mapping(authorizer.get("jwt")).get("claims")):
        if claims is not None:
            return Identity(_id(SUBJECT, _mapping(claims).get("sub")), groups_of(_mapping(claims)))
    if authorizer.get("principalId") is not None:  # a Lambda authorizer, whose other claims are beside it
        return Identity(_id(SUBJECT, authorizer["principalId"]), groups_of(authorizer))
    key_id = _mapping(context.get("identity")).get("apiKeyId")
    if key_id is None and any(name.lower() == "x-api-key" for name in _mapping(event.get("headers"))):
        raise Unauthenticated(
            "this API key is not known here: check its value, or make one with docwell principals add"
        )
    return Identity(_id(KEY, key_id))


def groups_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the groups in `cognito:groups`, else in `groups`: a list, or a text such as "a,b" or "[a b]".

    Returns the first `MAX_GROUPS` in alphabetical order.
    """
    said = next((claims[name] for name in _GROUP_CLAIMS if claims.get(name)), ())
    names = _SEPARATORS.split(said) if isinstance(said, str) else said
    if not isinstance(names, list | tuple):
        return ()
    return tuple(sorted({name for name in names if is_group(name)}))[:MAX_GROUPS]


def is_group(name: object) -> bool:
    """Return whether this is a valid name of a group."""
    return isinstance(name, str) and _GROUP.fullmatch(name) is not None


def is_id(name: object) -> bool:
    """Return whether this is a valid JWT subject or id of an API key."""
    return isinstance(name, str) and _ID.fullmatch(name) is not None


def _id(kind: str, name: object) -> str:
    if not is_id(name):
        raise Unauthenticated("send a principal's API key as x-api-key, or a token if the API has an authorizer")
    return f"{kind}{name}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
