"""The profiles of language models, by name: `model_profiles.toml` beside this module, and its one reader."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

Protocol = Literal["ollama", "openai"]
# Fields that switch thinking off with any template. Each of them ignores the names of the others.
_OFF: Mapping[Protocol, Mapping[str, Any]] = {
    "ollama": {"think": False},
    "openai": {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
}


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. The data file says what each field means. No `names`: the default for unknown models."""

    context: int
    passages: int
    names: str = ""
    ollama: Mapping[str, Any] = field(default_factory=dict)
    openai: Mapping[str, Any] = field(default_factory=dict)
    thinking_tokens: int = 0
    begins_thinking: bool = False
    limit: str = "max_tokens"
    sampling: bool = True
    json: bool = False
    demo: bool = False
    licence: str = ""
    memory_gb: float | None = None
    hallucination: float | None = None
    answered: float | None = None
    source: str = ""

    @property
    def settings(self) -> dict[str, int]:
        """The settings that apply where the user sets none, by the names of `docwell.config`."""
        return {"num_ctx": self.context, "top_k": self.passages, "thinking_tokens": self.thinking_tokens}

    def thinking(self, protocol: Protocol, think: str) -> Mapping[str, Any]:
        """Return the fields of a request for `think`: auto, off, default (no field), or a level such as low."""
        if think == "auto":
            return self.ollama if protocol == "ollama" else self.openai
        if think in {"off", "default"}:
            return _OFF[protocol] if think == "off" else {}
        return {"think" if protocol == "ollama" else "reasoning_effort": think}


class Marks(NamedTuple):
    """The marks of thinking in a text: the closing mark of each opening one, and marks that stand alone."""

    pairs: Mapping[str, str]
    alone: Sequence[str]


def profile_of(model: str) -> Profile:
    """Return the profile of a model by its name on any host.

    >>> profile_of("Qwen/Qwen3-8B-AWQ").openai
    {'chat_template_kwargs': {'enable_thinking': False}}
    """
    name = re.sub("[:_]", "-", model.rsplit("/", 1)[-1].lower())
    return next((profile for profile in _profiles() if re.match(profile.names, name)), default_profile())


@cache
def default_profile() -> Profile:
    """Return the profile of unknown models."""
    return Profile(**_file()["default"])


@cache
def marks() -> Marks:
    """Return the marks of thinking."""
    table = _file()["marks"]
    return Marks(dict(table["pairs"]), table["alone"])


@cache
def _profiles() -> list[Profile]:
    return [Profile(**entry) for entry in _file()["profile"]]


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(files("docwell.adapters").joinpath("model_profiles.toml").read_text(encoding="utf-8"))
