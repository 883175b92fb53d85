"""The environment of the peers, made when it is first needed, and the model that they take."""

from __future__ import annotations

import sys
from pathlib import Path

from docwell.errors import Unavailable
from infra.report import ROOT
from layers.embedder.download.environment import python_of
from layers.embedder.download.fetch import fetch

ENVIRONMENT = ROOT / ".venv-peers"
REQUIREMENTS = ROOT / "requirements" / "peers.txt"
# The one that `make model` builds docwell's from.
_MODEL = "all-minilm-l6-v2"


class PeerError(Exception):
    """A peer failed; the message has the end of what it printed."""


def python() -> Path:
    """The environment's Python. Raises `PeerError` when it cannot be made."""
    try:
        return python_of(ENVIRONMENT, REQUIREMENTS, _say)
    except Unavailable as error:
        raise PeerError(error.detail) from None


def model() -> Path:
    """The folder of the model as sentence-transformers reads it."""
    return fetch(_MODEL)["modules.json"].parent


def _say(text: str) -> None:
    print(f"{text} (ARGS=--no-peers does without it)", file=sys.stderr, flush=True)
