"""The identity of a caller, as the gateway's event has it.

Only `requestContext` counts: the gateway writes it, and a client cannot. The API key itself
(`requestContext.identity.apiKey`) is a secret and is not read; its id is enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docwell.errors import Unauthenticated

KEY, SUBJECT, GROUP = "key:", "sub:", "group:"

# The documents of docwell itself. A right to all collections does not include them.
RESERVED_COLLECTION = ".docwell"

# One BatchGetItem reads the caller's grant and its groups' grants, and takes 100 keys.
MAX_GROUPS = 99
# OpenID Connect limits a subject to 255 ASCII characters; API Gateway's key ids are letters and digits.
_ID = re.compile(r"[!-~]{1,255}")
# API Gateway writes Cognito's list as "a,b" or "[a b]": a name with a separator would read as two groups.
_GROUP = re.compile(r"[^\s,\[\]\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,128}")
_COGNITO_GROUPS = "cognito:groups"
_GROUPS = "groups"


@dataclass(frozen=True, slots=True)
class Identity:
    """`id` is `key:<API key id>` or `sub:<JWT subject>`; `groups` are bare names, sorted, `MAX_GROUPS` at most."""

    id: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A right to the documents of `collection` (None: of any) with a prefix and all of the S3 tags."""

    collection: str | None
    prefix: str = ""
    tags: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller and its rights: whole `collections` (None: all), and the documents that any of the `rules` allows.

    It may upload to the `writable` collections (None: all) and delete what it can see in them, but never change
    `RESERVED_COLLECTION`. Only a right that names that collection reads it. A quota of None means no limit.
    With `operates`, it may see how the system does and redrive dead letters.
    """

    id: str
    collections: frozenset[str] | None = frozenset()
    rules: frozenset[Rule] = frozenset()
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    label: str = ""
    writable: frozenset[str] | None = frozenset()
    operates: bool = False

    def may_read(self, collection: str | None) -> bool:
        """Return whether this principal may see every document of the collection (None: of all collections)."""
        if self.collections is None:
            return collection != RESERVED_COLLECTION
        return collection in self.collections

    def may_write(self, collection: str) -> bool:
        """Return whether this principal may add, replace and delete documents of the collection."""
        return collection != RESERVED_COLLECTION and (self.writable is None or collection in self.writable)


@dataclass(frozen=True, slots=True)
class Use:
    """A principal's use of one UTC day."""

    requests: int = 0
    tokens: int = 0

    def __add__(self, other: Use) -> Use:
        return Use(self.requests + other.requests, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True)
class UseHistory:
    """The use of all principals together, by UTC day such as `2026-11-25`, and of the busiest ones today.

    `costs` are in one currency, and cover answers alone. Not `complete`: there is more use than was read.
    """

    days: Mapping[str, Use]
    costs: Mapping[str, float]
    today: Sequence[tuple[Principal, Use]]
    complete: bool


# `sam local` has no authorizer: use this principal, which has no grants by default.
SAM_LOCAL = Identity(f"{KEY}sam-local")
# The canary (docwell.upkeep.canary), which calls the function itself. API Gateway's key ids have no hyphen.
CANARY = Principal(f"{KEY}docwell-canary", frozenset({RESERVED_COLLECTION}))


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
    if authorizer.get("claims") is not None:  # a REST API's Cognito authorizer
        claims = _mapping(authorizer["claims"])
        return Identity(_id(SUBJECT, claims.get("sub")), groups_of(claims, separator=","))
    if _mapping(authorizer.get("jwt")).get("claims") is not None:  # an HTTP API's JWT authorizer
        claims = _mapping(authorizer["jwt"]["claims"])
        return Identity(_id(SUBJECT, claims.get("sub")), groups_of(claims, separator=" "))
    if authorizer.get("principalId") is not None:  # a Lambda authorizer, whose other claims are beside it
        return Identity(_id(SUBJECT, authorizer["principalId"]), groups_of(authorizer))
    key_id = _mapping(context.get("identity")).get("apiKeyId")
    if key_id is None and any(name.lower() == "x-api-key" for name in _mapping(event.get("headers"))):
        raise Unauthenticated(
            "this API key is not known here: check its value, or make one with docwell principals add"
        )
    return Identity(_id(KEY, key_id))


def groups_of(claims: Mapping[str, Any], separator: str | None = None) -> tuple[str, ...]:
    """Return the groups in `cognito:groups`, else in `groups`: a list, a JSON list, or the name of one group.

    API Gateway joins the list in a Cognito token with the `separator`: "a,b" in a REST API, "[a b]" in an HTTP
    API. Only the owner of the user pool names such groups, so only that claim is split.
    Returns the first `MAX_GROUPS` in alphabetical order.
    """
    claim = next((name for name in (_COGNITO_GROUPS, _GROUPS) if claims.get(name)), _GROUPS)
    said = claims.get(claim)
    if isinstance(said, str):
        said = _listed(said, separator if claim == _COGNITO_GROUPS else None)
    if not isinstance(said, list | tuple):
        return ()
    return tuple(sorted({name for name in said if is_group(name)}))[:MAX_GROUPS]


def _listed(said: str, separator: str | None) -> object:
    try:
        listed: object = json.loads(said) if said.startswith("[") else None
    except (ValueError, RecursionError):
        listed = None
    if isinstance(listed, list):
        return listed
    if separator == " " and said.startswith("[") and said.endswith("]"):
        said = said[1:-1]
    return [said] if separator is None else [name.strip() for name in said.split(separator)]


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
