"""Tokens of an OpenID Connect issuer: their signature and their claims."""

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

# Signatures with public keys alone: a token cannot choose `none`, or HS256 with the public key as the secret.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_KEY_TYPES = ("RSA", "EC", "OKP")
_CLAIMS = ("exp", "iat", "iss")
# Access tokens (RFC 9068) and ID tokens. An issuer signs others with the same keys: of a logout, of a proof.
_TYPES = ("jwt", "at+jwt", "application/at+jwt")
# The client of an access token: Cognito, RFC 9068; Keycloak, Auth0, Google, Entra; Okta; Entra version 1.
_CLIENTS = ("client_id", "azp", "cid", "appid")
# Keycloak's clients of its administration: it adds them as audiences to tokens that are for no API.
_NO_API = frozenset({"account", "broker", "realm-management"})
# The allowed difference between the clocks of the issuer and of this machine.
_LEEWAY_S = 10.0
# An issuer publishes a new signing key long before it uses it.
_REFRESH_S = 3_600.0
# While the keys cannot be read, tokens of known keys stay valid for a day.
_KEPT_S = 86_400.0
# Anyone can write a token with an unknown key: such tokens read the keys at most this often.
_AGAIN_S = 10.0
_TIMEOUT = urllib3.Timeout(connect=1.0, read=2.0)
# Issuers have 2 to 10 keys, of 400 bytes to 3 KB with a certificate.
_MAX_BYTES = 65_536


class SigningKeys:
    """The public keys at a URL, or at the `jwks_uri` of the discovery document there, by their ids."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock = url, clock
        self._http = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")
        self._lock = Lock()

    def find(self, id_: str) -> jwt.PyJWK | None:
        """Return the key; None if the issuer has none. Raises `Unavailable` when the keys are unreadable."""
        with self._lock:
            is_old = self._clock() - self._read_at > _REFRESH_S
            if (is_old or id_ not in self._keys) and self._clock() - self._tried_at >= _AGAIN_S:
                self._read()
            if self._clock() - self._read_at > _KEPT_S:
                raise Unavailable("issuer", "its signing keys cannot be read", retry_after=_AGAIN_S)
            return self._keys.get(id_)

    def _read(self) -> None:
        self._tried_at = self._clock()
        try:
            document = self._document(self._url)
            if "jwks_uri" in document:
                document = self._document(document["jwks_uri"])
            keys = jwt.PyJWKSet.from_dict(document).keys
            # Keycloak also publishes keys to encrypt with.
            signing = [key for key in keys if key.key_type in _KEY_TYPES and key.public_key_use in (None, "sig")]
            self._keys = {key.key_id: key for key in signing if key.key_id}
            self._read_at = self._clock()
        except (urllib3.exceptions.HTTPError, jwt.PyJWTError, ValueError, TypeError, AttributeError):
            return  # keep the known keys

    def _document(self, url: str) -> dict[str, Any]:
        """Return the JSON object at a URL. Raises `ValueError`, and the errors of urllib3."""
        if not url.startswith(("https://", self._url.partition("://")[0] + "://")):
            raise ValueError("an issuer with TLS names keys without TLS")
        response = self._http.request("GET", url, redirect=False, preload_content=False)
        try:
            body = response.read(_MAX_BYTES + 1)
        finally:
            response.release_conn()
        if response.status != HTTPStatus.OK or len(body) > _MAX_BYTES:
            raise ValueError("no document")
        document: dict[str, Any] = json.loads(body)
        return document


class IssuerTokens:
    """The ID tokens and access tokens of one issuer."""

    def __init__(
        self,
        issuer: str,
        audiences: Collection[str],
        keys: SigningKeys,
        principal: str = "sub",
        groups: str | None = None,
    ) -> None:
        """Accept tokens for the audiences. `principal` and `groups` name claims; `a.b` is the claim b in a."""
        plain = issuer.rstrip("/")
        # Google's tokens may name it without the scheme.
        self._issuers = (plain, f"{plain}/", plain.removeprefix("https://"))
        self._audiences, self._keys = frozenset(audiences), keys
        self._principal, self._groups = principal, groups

    def identify(self, token: str) -> Identity:
        """Return the principal of a valid token, with its groups. Raises `Unauthenticated`, `Unavailable`."""
        try:
            claims = self._claims(token)
        # Deeply nested lists in a header or a body exceed the recursion limit.
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated(NO_CREDENTIAL) from None
        name = _claim(claims, self._principal)
        # Anyone may enter an address in a profile.
        unverified = self._principal == "email" and claims.get("email_verified") is not True
        # Only an ID or access token: `cnf` binds it to a key, and `events` tells of a logout.
        fits = claims.get("token_use", "id") in ("id", "access") and claims.get("typ", "ID") in ("ID", "Bearer")
        fits = fits and not unverified and not claims.keys() & {"cnf", "events"}
        if not (fits and self._audiences & _audiences(claims) and is_id(name)):
            raise Unauthenticated(NO_CREDENTIAL)
        groups = groups_of({"groups": _claim(claims, self._groups)} if self._groups else claims)
        return Identity(f"{SUBJECT}{name}", groups)

    def _claims(self, token: str) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        key = self._keys.find(header.get("kid", ""))
        # Entra's keys name no algorithm: PyJWT assumes the usual one of the key's type.
        fits = key is not None and key.algorithm_name == header.get("alg") in _ALGORITHMS
        if key is None or not fits or str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise Unauthenticated(NO_CREDENTIAL)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=_ALGORITHMS,
            issuer=self._issuers,
            leeway=_LEEWAY_S,
            # The audience is in `aud` or in a claim with the client; `identify` checks it.
            options={"require": list(_CLAIMS), "verify_aud": False},
        )
        return claims


def _claim(claims: object, name: str) -> object:
    """Return the claim of that name, which may have dots, else follow the dots; None without it."""
    if not isinstance(claims, Mapping) or name in claims:
        return claims[name] if isinstance(claims, Mapping) else None
    heads = [name[:place] for place, letter in enumerate(name) if letter == "." and name[:place] in claims]
    values = (_claim(claims[head], name[len(head) + 1 :]) for head in heads)
    return next((value for value in values if value is not None), None)


def _audiences(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return whom the token is for: `aud`, or the client of an access token that is for no API."""
    audience = claims.get("aud")
    names = {name for name in (audience if isinstance(audience, list) else [audience]) if isinstance(name, str)}
    client = next((claims[name] for name in _CLIENTS if isinstance(claims.get(name), str)), None)
    if names <= _NO_API and claims.get("token_use") != "id":
        return frozenset({client} if client else ())
    # OpenID Connect: a token for several names its client.
    return frozenset(names if len(names) == 1 or client else ())
