"""The interfaces that the authorizer needs. An adapter raises only `docwell.errors`."""

from __future__ import annotations

from typing import Protocol

from docwell.identity import ApiKey, Identity


class ApiKeys(Protocol):
    """The API keys of this installation."""

    def find(self, digest: str) -> ApiKey | None:
        """Return the key whose value has this digest, also one that has ended. Raises `Unavailable`."""


class Tokens(Protocol):
    """The tokens of a user pool."""

    def identify(self, token: str) -> Identity:
        """Return the subject of a valid token. Raises `Unauthenticated`, `Unavailable`."""
