"""A user pool with a sign-in page: it checks PKCE as Cognito does, and signs access tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER, CLIENT, PERSON = "https://pool.example/pool1", "client1", "5d2c"
_KEY = rsa.generate_private_key(65537, 2048)
Answer = tuple[int, dict[str, str], bytes]
Fields = dict[str, str]


def _json(status: int, body: dict[str, Any]) -> Answer:
    # Cognito lets pages of every origin read its answers with tokens.
    headers = {"content-type": "application/json", "access-control-allow-origin": "*"}
    return status, headers, json.dumps(body).encode()


@dataclass
class UserPool:
    """The pool. Tests set its public fields, and read `tokens` given; `left` and `revoked` after a sign-out."""

    lifetime_s: int = 3600
    refuses: bool = False
    ends_sessions: bool = False
    tokens: list[str] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)
    left: int = 0
    url: str = ""
    callback: str = ""
    codes: dict[str, str] = field(default_factory=dict)
    refreshes: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)

    @property
    def settings(self) -> dict[str, str]:
        """The authorizer's settings for this pool."""
        return {
            "DOCWELL_TOKEN_ISSUER": ISSUER,
            "DOCWELL_TOKEN_CLIENTS": CLIENT,
            "DOCWELL_TOKEN_KEYS_URL": f"{self.url}/keys",
        }

    def reset(self) -> None:
        """Forget what tests have set and done."""
        self.lifetime_s, self.refuses, self.ends_sessions, self.left = 3600, False, False, 0
        for items in (self.tokens, self.grants, self.revoked):
            items.clear()

    def get(self, path: str, query: Fields) -> Answer:
        if path == "/keys":
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_KEY.public_key()))
            return _json(200, {"keys": [{**public, "kid": "k1", "alg": "RS256", "use": "sig"}]})
        if query.get("client_id") != CLIENT:
            return _json(400, {"error": "unauthorized_client"})
        if path == "/logout":
            self.left += 1
            return 302, {"location": query["logout_uri"]}, b""
        return self._page(query)

    def _page(self, query: Fields) -> Answer:
        """The page with a link that a person follows after the sign-in."""
        expected = {"response_type": "code", "redirect_uri": self.callback, "code_challenge_method": "S256"}
        if any(query.get(name) != value for name, value in expected.items()) or not query.get("code_challenge"):
            return _json(400, {"error": "invalid_request"})
        code = secrets.token_urlsafe(16)
        self.codes[code] = query["code_challenge"]
        refusal = {"error": "access_denied", "error_description": "Ask the owner of the pool"}
        answer = urlencode({**(refusal if self.refuses else {"code": code}), "state": query["state"]})
        page = f'<title>pool</title><a href="{self.callback}?{answer.replace("&", "&amp;")}">Continue</a>'
        return 200, {"content-type": "text/html"}, page.encode()

    def post(self, fields: Fields) -> Answer:
        """The answer to a grant: a code counts once, and with the verifier of its challenge alone."""
        self.grants.append(fields.get("grant_type", ""))
        if fields.get("client_id") != CLIENT:
            return _json(400, {"error": "invalid_client"})
        if fields["grant_type"] == "refresh_token":
            if self.ends_sessions or fields["refresh_token"] not in self.refreshes:
                return _json(400, {"error": "invalid_grant"})
            return _json(200, self._token())
        digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if self.codes.pop(fields["code"], None) != challenge or fields["redirect_uri"] != self.callback:
            return _json(400, {"error": "invalid_grant"})
        refresh = secrets.token_urlsafe(16)
        self.refreshes.add(refresh)
        return _json(200, {**self._token(), "refresh_token": refresh})

    def revoke(self, fields: Fields) -> Answer:
        self.refreshes.discard(fields["token"])
        self.revoked.add(fields["token"])
        return _json(200, {})

    def _token(self) -> dict[str, Any]:
        now = int(time.time())
        claims: dict[str, Any] = {"iss": ISSUER, "sub": PERSON, "client_id": CLIENT, "token_use": "access"}
        claims |= {"jti": secrets.token_hex(4), "cognito:groups": ["people"]}
        headers = {"kid": "k1"}
        times = {"iat": now, "exp": now + self.lifetime_s}
        self.tokens.append(jwt.encode({**claims, **times}, _KEY, algorithm="RS256", headers=headers))
        return {"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": self.lifetime_s}


@contextmanager
def user_pool() -> Iterator[UserPool]:
    """Serve a pool during the block."""
    pool = UserPool()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._send(pool.get(parts.path, dict(parse_qsl(parts.query))))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            answer = pool.revoke if self.path == "/oauth2/revoke" else pool.post
            self._send(answer(dict(parse_qsl(body))))

        def _send(self, answer: Answer) -> None:
            status, headers, body = answer
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pool.url = f"http://127.0.0.1:{server.server_port}"
    yield pool
    server.shutdown()
    server.server_close()
