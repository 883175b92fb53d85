"""Build the authorizer on real parts. Factories are cached: a warm invocation reuses them."""

from __future__ import annotations

from functools import cache

from docwell.access.authorizer import Authorizer, Tokens
from docwell.config import AuthorizerSettings


@cache
def authorizer_settings() -> AuthorizerSettings:
    """Return the authorizer's settings. Raises `SettingsError`."""
    return AuthorizerSettings.read()


@cache
def authorizer() -> Authorizer:
    """Return the authorizer."""
    from docwell.adapters.aws import client
    from docwell.adapters.dynamodb.principals import DynamoApiKeys

    keys = DynamoApiKeys(client("dynamodb", quick=True), authorizer_settings().principals_table)
    return Authorizer(keys, _tokens())


def _tokens() -> Tokens | None:
    from docwell.adapters.tokens import SigningKeys, UserPoolTokens

    settings = authorizer_settings()
    if settings.token_issuer is None or settings.token_clients is None:  # the settings need both or none
        return None
    # The claim `iss` is compared as text, and Pydantic would end a bare host with a slash.
    url = settings.token_keys_url or f"{settings.token_issuer}/.well-known/jwks.json"
    return UserPoolTokens(settings.token_issuer, settings.token_clients.split(","), SigningKeys(url))
