"""Read an image's digest from its registry (OCI distribution specification 1.1)."""

from __future__ import annotations

import re
from hashlib import sha256

import httpx

_TIMEOUT_S = 30.0
# Docker Hub's images name another host than the one that serves its registry.
_HOSTS = {"docker.io": "registry-1.docker.io"}
_MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "docker.distribution.manifest.list.v2",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.v2",
    )
)
_REFERENCE = re.compile(r"(?P<host>[\w.-]+(:\d+)?)/(?P<repository>[a-z0-9._/-]+):(?P<tag>[\w.-]+)")


class PinError(Exception):
    """A pin cannot be read. The message names it."""


def digest_of(reference: str) -> str:
    """Return the digest of `HOST/REPOSITORY:TAG`, an index where the registry has one. Raises `PinError`.

    The digest is computed from the manifest, and compared with the one that the registry states.
    """
    named = _REFERENCE.fullmatch(reference)
    if named is None:
        raise PinError(f"{reference}: not HOST/REPOSITORY:TAG")
    host = _HOSTS.get(named["host"], named["host"])
    # As Docker does: a registry on this machine has no certificate.
    scheme = "http" if host.partition(":")[0] in ("127.0.0.1", "localhost") else "https"
    url = f"{scheme}://{host}/v2/{named['repository']}/manifests/{named['tag']}"
    headers = {"accept": _MANIFESTS}
    try:
        with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True) as client:
            response = client.get(url, headers=headers)
            if response.status_code == httpx.codes.UNAUTHORIZED:
                token = _token(client, response.headers.get("www-authenticate", ""))
                response = client.get(url, headers=headers | {"authorization": f"Bearer {token}"})
            response.raise_for_status()
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise PinError(f"{reference}: {error}") from None
    digest = f"sha256:{sha256(response.content).hexdigest()}"
    if response.headers.get("docker-content-digest", digest) != digest:
        raise PinError(f"{reference}: the manifest does not have the digest that the registry states")
    return digest


def _token(client: httpx.Client, challenge: str) -> str:
    """Return an anonymous token for a `Bearer` challenge. Raises `ValueError`, `KeyError`, `httpx.HTTPError`."""
    scheme, _, parameters = challenge.partition(" ")
    if scheme.lower() != "bearer":
        raise ValueError(f"the registry asks for {scheme or 'nothing'}, not for a bearer token")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', parameters))
    response = client.get(fields.pop("realm"), params=fields)
    response.raise_for_status()
    answer = response.json()
    return str(answer.get("token") or answer["access_token"])
