"""The profiles of language models, by name: `model_profiles.toml` beside this module, and its one reader."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from docwell.config import MIN_SUPPORT

Protocol = Literal["ollama", "openai"]
# Fields that switch thinking off with any chat template: a template ignores the names of others.
_OFF: Mapping[Protocol, Mapping[str, Any]] = {
    "ollama": {"think": False},
    "openai": {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
}
# The fields that are settings too, and apply where the user sets none.
SETTINGS = ("num_ctx", "top_k", "thinking_tokens", "min_support", "prompts")


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. The data file says what each field means. The default for unknown models has no `names`."""

    num_ctx: int
    top_k: int
    names: str = ""
    ollama: Mapping[str, Any] = field(default_factory=dict)
    openai: Mapping[str, Any] = field(default_factory=dict)
    thinking_tokens: int = 0
    min_support: float = MIN_SUPPORT
    prompts: Literal["answer", "answer-short"] = "answer"
    begins_thinking: bool = False
    limit: str = "max_tokens"
    sampling: bool = True
    json: bool = False
    demo: bool = False
    licence: str = ""
    published: str = ""

    def thinking(self, protocol: Protocol, think: str) -> Mapping[str, Any]:
        """Return the fields of a request for `think`: auto, off, default (no field), or a level such as low."""
        auto, level = (self.ollama, "think") if protocol == "ollama" else (self.openai, "reasoning_effort")
        return {"auto": auto, "off": _OFF[protocol], "default": {}}.get(think, {level: think})


@cache
def profile_of(model: str) -> Profile:
    """Return the profile of a model by its name on any host.

    >>> profile_of("Qwen/Qwen3-8B-AWQ").openai
    {'chat_template_kwargs': {'enable_thinking': False}}
    """
    name = re.sub("[:_]", "-", model.rsplit("/", 1)[-1].lower())
    rows = (row for row in _file()["profile"] if re.match(row["names"], name))
    return Profile(**next(rows, _file()["default"]))


def marks() -> tuple[Mapping[str, str], Sequence[str]]:
    """Return the closing mark of thinking for each opening one, and the marks that stand alone, in lower case."""
    return _file()["pairs"], _file()["alone"]


def host_words() -> Mapping[str, Any]:
    """Return the names and words of hosts, which `[hosts]` of the data file explains."""
    words: Mapping[str, Any] = _file()["hosts"]
    return words


@cache
def _file() -> dict[str, Any]:
    table = tomllib.loads(files("docwell.adapters").joinpath("model_profiles.toml").read_text(encoding="utf-8"))
    pairs = {opening.lower(): closing.lower() for opening, closing in table["marks"]["pairs"]}
    return table | {"pairs": pairs, "alone": [mark.lower() for mark in table["marks"]["alone"]]}
