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
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from infra.local.ports import free_port

ISSUER, CLIENT, PERSON = "https://pool.example/pool1", "client1", "5d2c"
_KEY = rsa.generate_private_key(65537, 2048)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    # Cognito lets pages of every origin read its answers with tokens.
    return JSONResponse(body, status, {"access-control-allow-origin": "*"})


async def _fields(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode()))


@dataclass
class UserPool:
    """The pool. Tests set its public fields, and read `tokens` given; `left` and `revoked` after a sign-out."""

    url: str
    callback: str = ""
    refuses: bool = False
    left: int = 0
    tokens: list[str] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)
    codes: dict[str, str] = field(default_factory=dict)
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
        """Reset all that tests have set and recorded."""
        self.refuses, self.left = False, 0
        for items in (self.tokens, self.grants, self.revoked):
            items.clear()

    async def keys(self, _request: Request) -> Response:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_KEY.public_key()))
        return _json({"keys": [{**public, "kid": "k1", "alg": "RS256", "use": "sig"}]})

    async def logout(self, request: Request) -> Response:
        self.left += 1
        return RedirectResponse(request.query_params["logout_uri"], 302)

    async def page(self, request: Request) -> Response:
        """Return the page with a link that a person follows after the sign-in."""
        query = request.query_params
        expected = {"response_type": "code", "redirect_uri": self.callback, "code_challenge_method": "S256"}
        expected["client_id"] = CLIENT
        if any(query.get(name) != value for name, value in expected.items()):
            return _json({"error": "invalid_request"}, 400)
        code = secrets.token_urlsafe(16)
        self.codes[code] = query["code_challenge"]
        refusal = {"error": "access_denied", "error_description": "Ask the owner of the pool"}
        answer = urlencode({**(refusal if self.refuses else {"code": code}), "state": query["state"]})
        link = f'<a href="{self.callback}?{answer.replace("&", "&amp;")}">Continue</a>'
        return HTMLResponse(f"<title>pool</title>{link}")

    async def grant(self, request: Request) -> Response:
        """Answer a grant: a code counts once, with the verifier of its challenge alone. No token is renewed."""
        fields = await _fields(request)
        self.grants.append(fields.get("grant_type", ""))
        digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        sent = [self.codes.pop(fields.get("code", ""), None), fields.get("redirect_uri"), fields.get("client_id")]
        if sent != [challenge, self.callback, CLIENT]:
            return _json({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims: dict[str, Any] = {"iss": ISSUER, "sub": PERSON, "client_id": CLIENT, "token_use": "access"}
        claims |= {"jti": secrets.token_hex(4), "cognito:groups": ["people"], "iat": now, "exp": now + 3600}
        self.tokens.append(jwt.encode(claims, _KEY, algorithm="RS256", headers={"kid": "k1"}))
        token = {"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": 3600}
        return _json({**token, "refresh_token": secrets.token_urlsafe(16)})

    async def revoke(self, request: Request) -> Response:
        self.revoked.add((await _fields(request))["token"])
        return _json({})


@contextmanager
def serving(app: Any, port: int) -> Iterator[None]:
    """Serve an application on a port of this machine during the block."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield
    server.should_exit = True
    thread.join()


@contextmanager
def user_pool() -> Iterator[UserPool]:
    """Serve a pool during the block."""
    port = free_port(0, set())
    pool = UserPool(f"http://127.0.0.1:{port}")
    routes = [
        Route("/keys", pool.keys),
        Route("/logout", pool.logout),
        Route("/oauth2/revoke", pool.revoke, methods=["POST"]),
        Route("/{path:path}", pool.grant, methods=["POST"]),
        Route("/{path:path}", pool.page),
    ]
    with serving(Starlette(routes=routes), port):
        yield pool
