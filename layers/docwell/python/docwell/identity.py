"""Who asks, as the gateway has found it out: pure, from the event alone.

Only `requestContext` speaks: the gateway writes it, and nothing that a client sends gets in there. The API key
itself (`requestContext.identity.apiKey`) is a secret and is not read; its id is enough.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docwell.errors import Unauthenticated

KEY, SUBJECT, GROUP = "key:", "sub:", "group:"

# Own and groups' grants are read by one BatchGetItem, which takes 100 keys; Cognito gives a user 100 groups.
MAX_GROUPS = 99
# OpenID Connect bounds a subject to 255 ASCII characters; API Gateway's key ids are letters and digits.
_ID = re.compile(r"[!-~]{1,255}")
# API Gateway writes a list of groups as "a,b" or "[a b]", so a name with a separator in it could pass for two.
_GROUP = re.compile(r"[^\s,\[\]\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,128}")
_SEPARATORS = re.compile(r"[\s,\[\]]+")
_GROUP_CLAIMS = ("cognito:groups", "groups")
_NOBODY = "send an API key that a principal has as x-api-key, or a token where the API has an authorizer"


@dataclass(frozen=True, slots=True)
class Identity:
    """`id` is `key:<API key id>` or `sub:<JWT subject>`; `groups` are bare names, sorted, `MAX_GROUPS` at most."""

    id: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `collections` None means all of them; a quota of None means no limit.

    `id` is `key:<API key id>` or `sub:<JWT subject>`.
    """

    id: str
    collections: frozenset[str] | None = frozenset()
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    label: str = ""

    def may_read(self, collection: str) -> bool:
        """Whether this principal can see anything of the collection."""
        return self.collections is None or collection in self.collections


# Under `sam local` nobody finds out who asks: then it is this one, who has rights only where they were given.
SAM_LOCAL = Identity(f"{KEY}sam-local")


def identity_of(event: Mapping[str, Any]) -> Identity:
    """Who sent the event of a REST API (or of an HTTP API with a JWT authorizer).

    A token wins over an API key: it says which person asks, where a key says which program, and a program that
    passes a person's token on must not lend that person its own rights. For the same reason an authorizer
    that has not named anybody is no reason to look for a key.

    Raises:
        Unauthenticated: the gateway has found nobody, or a name that none can have.
    """
    context = _mapping(event.get("requestContext"))
    authorizer = _mapping(context.get("authorizer"))
    claims = _claims(authorizer)
    if claims is not None:
        return Identity(_id(SUBJECT, claims.get("sub")), groups_of(claims))
    if authorizer.get("principalId") is not None:  # a Lambda authorizer; what it found out stands beside it
        return Identity(_id(SUBJECT, authorizer["principalId"]), groups_of(authorizer))
    return Identity(_id(KEY, _mapping(context.get("identity")).get("apiKeyId")))


def groups_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The groups of `cognito:groups`, else of `groups`: a list, or a text such as "a,b" or "[a b]".

    Of more than `MAX_GROUPS` the first in order are taken, the same ones each time.

    >>> groups_of({"cognito:groups": "[staff editors]"}), groups_of({"groups": ["staff", "a b", 7]})
    (('editors', 'staff'), ('staff',))
    """
    said = next((claims[name] for name in _GROUP_CLAIMS if claims.get(name)), ())
    names = _SEPARATORS.split(said) if isinstance(said, str) else said
    if not isinstance(names, list | tuple):
        return ()
    return tuple(sorted({name for name in names if is_group(name)}))[:MAX_GROUPS]


def is_group(name: object) -> bool:
    """Whether a group can be called so."""
    return isinstance(name, str) and _GROUP.fullmatch(name) is not None


def is_id(name: object) -> bool:
    """Whether a JWT subject or an API key can be called so."""
    return isinstance(name, str) and _ID.fullmatch(name) is not None


def _claims(authorizer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The token's claims: `claims` of a REST API's Cognito authorizer, `jwt.claims` of an HTTP API's."""
    for found in (authorizer.get("claims"), _mapping(authorizer.get("jwt")).get("claims")):
        if found is not None:
            return _mapping(found)
    return None


def _id(kind: str, name: object) -> str:
    if not is_id(name):
        raise Unauthenticated(_NOBODY)
    return f"{kind}{name}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
