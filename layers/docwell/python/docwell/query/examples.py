"""The example questions of each mode, `modes.json`, and their vectors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from docwell.answers import Mode

Vectors = NDArray[np.float32]

# A token that stands for any subject.
ANYTHING = "X"
# The subject of an example is in braces.
_SUBJECT = re.compile(r"\{([^}]*)\}")


def examples(subject: str = r"\1") -> dict[Mode, list[str]]:
    """Return the example questions of each mode, in several languages, about `subject` if given."""
    text = (files("docwell.query") / "modes.json").read_text(encoding="utf-8")
    return {
        Mode(mode): [_SUBJECT.sub(subject, one) for one in questions]
        for mode, questions in json.loads(text).items()
    }


def example_texts() -> list[str]:
    """Return all texts that `Examples` embeds, each once."""
    return [*dict.fromkeys(chain(*examples().values(), *examples(ANYTHING).values()))]


class Examples:
    """The unit vectors of the examples by mode, (n, dimension). At the first use, `embed` returns those of all."""

    def __init__(self, embed: Callable[[Sequence[str]], Vectors]) -> None:
        self._embed = embed

    @cached_property
    def whole(self) -> Mapping[Mode, Vectors]:
        """The examples as they are."""
        return self._of(examples())

    @cached_property
    def bare(self) -> Mapping[Mode, Vectors]:
        """The examples without their subjects."""
        return self._of(examples(ANYTHING))

    def _of(self, questions: Mapping[Mode, Sequence[str]]) -> Mapping[Mode, Vectors]:
        return {mode: np.stack([self._vectors[one] for one in each]) for mode, each in questions.items()}

    @cached_property
    def _vectors(self) -> Mapping[str, Vectors]:
        texts = example_texts()
        return dict(zip(texts, self._embed(texts), strict=True))
