"""The credentials in the headers of a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from docwell.errors import Unauthenticated
from docwell.identity import NO_CREDENTIAL

KEY_HEADER, TOKEN_HEADER = "x-api-key", "authorization"
# API Gateway's limit for the value of a key.
MAX_KEY_CHARACTERS = 128
# API Gateway takes 10,240 bytes of headers; a token of Cognito with 99 groups has about 4,000 characters.
MAX_TOKEN_CHARACTERS = 8_192
# A key in both headers. More only costs lookups.
MAX_CREDENTIALS = 2


@dataclass(frozen=True, slots=True)
class Credential:
    """The value of an API key, or a JSON Web Token."""

    value: str
    is_token: bool = False


def credentials_of(headers: Iterable[tuple[str, str]]) -> frozenset[Credential]:
    """Return the different credentials of a request, one at least. A Bearer value with dots is a token.

    Raises `Unauthenticated` for none, for more than `MAX_CREDENTIALS`, and for one that cannot be valid.
    """
    credentials = frozenset(
        _credential(name.lower(), value) for name, value in headers if name.lower() in (KEY_HEADER, TOKEN_HEADER)
    )
    if not 0 < len(credentials) <= MAX_CREDENTIALS:
        raise Unauthenticated(NO_CREDENTIAL)
    return credentials


def digest_of(key: str) -> str:
    """Return the name under which a key is stored. Keys are random, so a plain hash cannot be reversed.

    >>> digest_of("a")
    'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'
    """
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _credential(name: str, value: str) -> Credential:
    if name == TOKEN_HEADER:
        scheme, _, value = value.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(NO_CREDENTIAL)
        value = value.strip(" ")
    # The values of keys have no dots: API Gateway makes them of letters and digits.
    is_token = name == TOKEN_HEADER and "." in value
    if not 0 < len(value) <= (MAX_TOKEN_CHARACTERS if is_token else MAX_KEY_CHARACTERS):
        raise Unauthenticated(NO_CREDENTIAL)
    return Credential(value, is_token)
