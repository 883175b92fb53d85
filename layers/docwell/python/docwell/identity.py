"""The identity of a caller, as the authorizer finds it and the gateway's event has it.

Read only `requestContext.authorizer`: the gateway writes it, and a client cannot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from hashlib import sha256
from typing import Any

from docwell.errors import Unauthenticated

# What quotas count in a UTC day: of questions, and of the documents that a principal uploads with forms.
ASKING, READING = ("requests", "tokens"), ("pages", "bytes", "reading_s")
KEY, SUBJECT, GROUP = "key:", "sub:", "group:"
KEY_HEADER, TOKEN_HEADER = "x-api-key", "authorization"
# The console's address, set by CloudFront or the gateway. A caller that forges it changes only its own answers.
ORIGIN_HEADER = "x-docwell-origin"

# The collection of docwell's documents, such as the canary's. A right to all collections does not include it.
RESERVED_COLLECTION = ".docwell"

# One BatchGetItem reads the caller's grant and its groups' grants, and takes 100 keys.
MAX_GROUPS = 99
# OpenID Connect limits a subject to 255 ASCII characters; API Gateway's key ids are letters and digits.
_ID = re.compile(r"[!-~]{1,255}")
_CALLER = re.compile(f"({KEY}|{SUBJECT}){_ID.pattern}")
# No commas, brackets or blanks: a group's name must not read as a list.
_GROUP = re.compile(r"[^\s,\[\]\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,128}")


@dataclass(frozen=True, slots=True)
class Identity:
    """`id` is `key:<API key id>` or `sub:<JWT subject>`; `groups` are bare names, sorted, `MAX_GROUPS` at most."""

    id: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key by the `digest` of its value, and its principal (`key:ID`).

    It is valid before `ends_at` (seconds since the epoch; None: for ever).
    """

    digest: str
    principal: str
    key_id: str
    ends_at: int | None = None

    @property
    def in_gateway(self) -> bool:
        """Whether API Gateway has the key too. Its ids have no hyphen; those that docwell makes have one."""
        return "-" not in self.key_id


def digest_of(key: str) -> str:
    """Return the name under which a key is stored. Keys are random, so a plain hash cannot be reversed.

    >>> digest_of("a")
    'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'
    """
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


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
    `RESERVED_COLLECTION`. Only a right that names that collection reads it. A quota of None means no limit. With
    `operates`, it may see the state of the system and redrive dead letters.
    """

    id: str
    collections: frozenset[str] | None = frozenset()
    rules: frozenset[Rule] = frozenset()
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    label: str = ""
    writable: frozenset[str] | None = frozenset()
    operates: bool = False
    pages_per_day: int | None = None
    bytes_per_day: int | None = None
    reading_s_per_day: int | None = None

    @property
    def as_uploader(self) -> str:
        """The text that names this principal and its quotas in the metadata of its uploads."""
        return json.dumps({"id": self.id} | {f"{name}_per_day": n for name, n in self.quotas(READING).items()})

    def quotas(self, names: Sequence[str] = ASKING) -> dict[str, int]:
        """Return its quotas of these uses."""
        return {name: limit for name in names if (limit := getattr(self, f"{name}_per_day")) is not None}

    def may_read(self, collection: str | None) -> bool:
        """Return whether this principal may see every document of the collection (None: of all collections)."""
        if self.collections is None:
            return collection != RESERVED_COLLECTION
        return collection in self.collections

    def may_write(self, collection: str) -> bool:
        """Return whether this principal may add, replace and delete documents of the collection."""
        return collection != RESERVED_COLLECTION and (self.writable is None or collection in self.writable)


def uploader(text: str | None) -> Principal | None:
    """Return the principal in the metadata of an upload, with its quotas of reading; None for any other text."""
    with suppress(ValueError, TypeError, RecursionError):
        principal = Principal(**json.loads(text or ""))
        if _CALLER.fullmatch(principal.id) and set(map(type, principal.quotas(READING).values())) <= {int}:
            return principal
    return None


@dataclass(frozen=True, slots=True)
class Use:
    """A principal's use of one UTC day. `reading_s` is the time to download, read and index its uploads."""

    requests: int = 0
    tokens: int = 0
    pages: int = 0
    bytes: int = 0
    reading_s: float = 0.0

    def __add__(self, other: Use) -> Use:
        return Use(*map(sum, zip(astuple(self), astuple(other), strict=True)))


REQUEST = Use(requests=1)


@dataclass(frozen=True, slots=True)
class UseHistory:
    """The use of all principals together, by UTC day such as `2026-11-25`, and of the busiest ones today.

    `costs` are in one currency, and cover answers alone. If not `complete`, some use was not read.
    """

    days: Mapping[str, Use]
    costs: Mapping[str, float]
    today: Sequence[tuple[Principal, Use]]
    complete: bool


# The same message for every missing or invalid credential, so that an attacker learns nothing.
NO_CREDENTIAL = (
    "send a key of docwell principals add, as x-api-key or Bearer token, or a token of the identity provider"
)

# The canary (docwell.upkeep.canary), which calls the function itself. API Gateway's key ids have no hyphen.
CANARY = Principal(f"{KEY}docwell-canary", frozenset({RESERVED_COLLECTION}))


def identity_of(event: Mapping[str, Any]) -> Identity:
    """Return the caller that the authorizer (`docwell.access`) names in the event of a REST API.

    Raises:
        Unauthenticated: the authorizer names no caller, or an invalid one.
    """
    context = event.get("requestContext")
    authorizer = context.get("authorizer") if isinstance(context, Mapping) else None
    claims = authorizer if isinstance(authorizer, Mapping) else {}
    principal = claims.get("principalId")
    if not isinstance(principal, str) or not _CALLER.fullmatch(principal):
        raise Unauthenticated(NO_CREDENTIAL)
    return Identity(principal, groups_of(claims))


def groups_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the groups in `cognito:groups`, else in `groups`: a list, a JSON list, or the name of one group.

    Returns the first `MAX_GROUPS` in alphabetical order.
    """
    groups = claims.get("cognito:groups") or claims.get("groups")
    if isinstance(groups, str):
        text, groups = groups, [groups]
        with suppress(ValueError, RecursionError):  # any text but a JSON list is one name
            groups = json.loads(text) if text.startswith("[") else groups
    if not isinstance(groups, list | tuple):
        return ()
    return tuple(sorted({name for name in groups if is_group(name)}))[:MAX_GROUPS]


def is_group(name: object) -> bool:
    """Return whether this is a valid name of a group."""
    return isinstance(name, str) and _GROUP.fullmatch(name) is not None


def is_id(name: object) -> bool:
    """Return whether this is a valid JWT subject or id of an API key."""
    return isinstance(name, str) and _ID.fullmatch(name) is not None
