"""Check AWS signatures, version 4, against the keys of this stack.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
import time
from calendar import timegm
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import parse_qs, quote

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"


class BadSignature(Exception):
    """The request is unsigned, expired, or signed with other keys."""


@dataclass(frozen=True)
class SignedRequest:
    """The signed parts of a request. `headers` has lower-case names; `body` reads the body where it is signed."""

    method: str
    path: str  # as sent, percent-encoded
    query: str
    headers: Mapping[str, str]
    body: Callable[[], bytes]


@dataclass(frozen=True)
class _Claim:
    credential: str
    time: str
    signed: str
    signature: str
    presigned: bool = False


def signed_service(request: SignedRequest, access_key: str, secret_key: str) -> str:
    """Return the AWS service that a request is signed for. Raises `BadSignature`."""
    claim = _from_query(request.query) if "authorization" not in request.headers else _from_header(request.headers)
    try:
        key_id, date, region, service, end = claim.credential.split("/")
    except ValueError:
        raise BadSignature("the request has no credential scope") from None
    text = "\n".join(
        [_ALGORITHM, claim.time, f"{date}/{region}/{service}/{end}", _hash(_canonical(request, claim, service))]
    )
    key = signing_key(secret_key, (date, region, service, end))
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    if key_id != access_key or not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise BadSignature("the request is not signed with the keys of this stack")
    return service


def signing_key(secret_key: str, scope: Iterable[str]) -> bytes:
    """Return the key that signs within a scope: date, region, service, `aws4_request`."""
    key = f"AWS4{secret_key}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _from_header(headers: Mapping[str, str]) -> _Claim:
    algorithm, _, rest = headers["authorization"].partition(" ")
    fields = dict(re.findall(r"(\w+)=([^,\s]+)", rest))
    try:
        claim = _Claim(fields["Credential"], headers["x-amz-date"], fields["SignedHeaders"], fields["Signature"])
    except KeyError:
        raise BadSignature("the Authorization header is incomplete") from None
    if algorithm != _ALGORITHM:
        raise BadSignature(f"only {_ALGORITHM} is supported")
    return claim


def _from_query(query: str) -> _Claim:
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    try:
        claim = _Claim(
            fields["X-Amz-Credential"],
            fields["X-Amz-Date"],
            fields["X-Amz-SignedHeaders"],
            fields["X-Amz-Signature"],
            presigned=True,
        )
        expires = timegm(time.strptime(claim.time, "%Y%m%dT%H%M%SZ")) + int(fields["X-Amz-Expires"])
    except (KeyError, ValueError):
        raise BadSignature("the request is not signed") from None
    if time.time() > expires:
        raise BadSignature("the link has expired")
    return claim


def _canonical(request: SignedRequest, claim: _Claim, service: str) -> str:
    headers = dict(request.headers)
    pairs = (pair.partition("=") for pair in request.query.split("&") if pair)
    query = sorted((name, value) for name, _, value in pairs if name != "X-Amz-Signature")
    signed = claim.signed.split(";")
    if claim.presigned:
        payload = _UNSIGNED
    else:
        payload = headers.get("x-amz-content-sha256") or sha256(request.body()).hexdigest()
    return "\n".join(
        [
            request.method,
            # S3 alone signs the path as it was sent.
            request.path if service == "s3" else quote(request.path, safe="/~"),
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed),
            "",
            claim.signed,
            payload,
        ]
    )


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
