"""The public keys of an issuer, from a real HTTP server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from docwell.adapters.tokens import SigningKeys
from docwell.errors import Unavailable

KEY = {
    **json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key())),
    "kid": "k1",
    "alg": "RS256",
    "use": "sig",
}
ENCRYPTING = KEY | {"kid": "k2", "use": "enc"}
OCTETS = {"kty": "oct", "k": "c2VjcmV0", "kid": "k2", "alg": "HS256"}
DAY_S, HOUR_S = 86_400, 3_600


class Pool:
    """The endpoint with the keys. It counts its requests."""

    def __init__(self) -> None:
        self.body: bytes = json.dumps({"keys": [KEY, ENCRYPTING, OCTETS]}).encode()
        self.status = 200
        self.requests = 0
        self.now = 0.0


@pytest.fixture
def pool() -> Iterator[tuple[Pool, SigningKeys]]:
    served = Pool()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests += 1
            self.send_response(served.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(served.body)))
            self.end_headers()
            self.wfile.write(served.body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served, SigningKeys(f"http://127.0.0.1:{server.server_port}/keys", lambda: served.now)
    server.shutdown()
    server.server_close()


def test_keys_are_read_once_and_then_each_hour(pool: tuple[Pool, SigningKeys]) -> None:
    served, keys = pool
    assert [keys.find("k1") is not None for _ in range(3)] == [True] * 3
    assert keys.find("k2") is None  # no public key
    assert served.requests == 1
    served.now += HOUR_S + 1
    keys.find("k1")
    assert served.requests == 2


@pytest.mark.parametrize("wrong", [None, 7, "", "ftp://127.0.0.1/keys", "http://127.0.0.1:9/keys"])
def test_keys_are_where_the_discovery_document_says(pool: tuple[Pool, SigningKeys], wrong: object) -> None:
    served, keys = pool
    served.body = json.dumps({"jwks_uri": wrong, "keys": [KEY]}).encode()
    with pytest.raises(Unavailable):
        keys.find("k1")
    served.now += 10
    served.body = json.dumps({"jwks_uri": keys._url, "keys": [KEY]}).encode()
    assert (keys.find("k1") is not None, served.requests) == (True, 3)


def test_unknown_keys_cause_at_most_one_request_in_ten_seconds(pool: tuple[Pool, SigningKeys]) -> None:
    served, keys = pool
    for number in range(100):
        assert keys.find(f"guess-{number}") is None
    assert served.requests == 1
    served.now += 10
    assert keys.find("guess") is None
    assert served.requests == 2


def test_a_new_key_is_found_before_the_hour_is_over(pool: tuple[Pool, SigningKeys]) -> None:
    served, keys = pool
    assert keys.find("k9") is None
    served.body = json.dumps({"keys": [KEY | {"kid": "k9"}]}).encode()
    served.now += 10
    assert keys.find("k9") is not None
    assert keys.find("k1") is None  # the pool has withdrawn it


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (302, b""),
        (200, b"no JSON"),
        (200, b"[]"),
        (200, b"7"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": [7]}'),
        (200, b" " * 70_000 + json.dumps({"keys": [KEY]}).encode()),
    ],
)
def test_unreadable_keys_deny_with_503_and_never_replace_known_ones(
    pool: tuple[Pool, SigningKeys], status: int, body: bytes
) -> None:
    with pytest.raises(Unavailable):
        SigningKeys("http://127.0.0.1:9/keys").find("k1")
    served, keys = pool
    good, served.status, served.body = served.body, status, body
    with pytest.raises(Unavailable):
        keys.find("k1")
    served.now += 10
    served.status, served.body = 200, good
    assert keys.find("k1") is not None
    served.status, served.body = status, body
    served.now += DAY_S - 1
    assert keys.find("k1") is not None
    served.now += 2
    with pytest.raises(Unavailable):
        keys.find("k1")
