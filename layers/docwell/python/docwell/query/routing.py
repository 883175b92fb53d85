"""Choose the mode of a question by the examples that it is near. Pure, but for the embedder.

Cosines differ from model to model, so they are only compared with each other. A question about a document as a
whole is nearer to another such question than to an ordinary one and to any passage. A question for a list is near
whatever is about its subject, so it is compared without its subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from docwell.answers import Mode
from docwell.models import Passage
from docwell.ports import Embedder
from docwell.query.subject import Subjects, examples

# Most questions are further than this from the examples of lists, and are not embedded again without a subject.
_FAR = 0.8


class Router:
    """Embeds the examples at the first question that needs them."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.subjects = Subjects(embedder)

    def choose(self, question: str, vector: Sequence[float], passages: Sequence[Passage]) -> Mode:
        """Return the mode of a question with this unit vector and these nearest passages."""
        near = {mode: float(np.max(rows @ np.asarray(vector))) for mode, rows in self._examples.items()}
        if self._is_list(question, near.pop(Mode.LIST), near, passages):
            return Mode.LIST
        near[Mode.PASSAGES] = max(near[Mode.PASSAGES], *(one.score for one in passages))
        return max([Mode.PASSAGES, *near], key=near.__getitem__)  # in doubt, passages

    def _is_list(
        self, question: str, as_list: float, near: Mapping[Mode, float], passages: Sequence[Passage]
    ) -> bool:
        """Return whether the question, as it is and without its subject, is like the examples of lists."""
        # An overview is of one document.
        of_one = len({one.document for one in passages}) == 1
        rival = max(near.values()) if of_one else near[Mode.PASSAGES]
        if as_list < _FAR * rival:
            return False
        subject, (least, margin) = self.subjects.find(question), self.subjects.typical
        return subject is not None and subject.near >= least and subject.margin + as_list - rival >= margin

    @cached_property
    def _examples(self) -> dict[Mode, NDArray[np.float32]]:
        return {mode: self._embedder.embed_queries(questions) for mode, questions in examples().items()}
