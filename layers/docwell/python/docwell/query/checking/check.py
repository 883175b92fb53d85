"""Check the text of a model against the passages that it was given. Pure, but for the similarity."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from docwell.answers import Sentence
from docwell.models import Passage
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.grounding import GroundedAnswer, ground, numbered
from docwell.query.checking.support import MeaningScale, Similarity, is_answered, support
from docwell.query.checking.wording import completed, unrepeated
from docwell.text.lexicon import MARKER

_MARKER = re.compile(rf"[ \t]*{MARKER.pattern}")


def check(
    text: str,
    passages: Sequence[Passage],
    question: str,
    similarity: Similarity | None,
    min_support: float,
    scale: MeaningScale,
    *,
    each: bool = False,
) -> tuple[GroundedAnswer | None, tuple[Sentence, ...]]:
    """Return the grounded text and its sentences; None where no passage supports it.

    With `each`, the question is of a whole document: what answers it need not have its words. A sentence without
    a marker gets one, as small models mark the first of several sentences only. One that is not supported is
    removed, as they write sentences of the prompt's examples.
    """
    # Clean before grounding: removing a link can expose an unresolved marker.
    text, _ = clean_answer(text, [passage.chunk.text for passage in passages])
    text = completed(unrepeated(text), [passage.chunk.text for passage in passages])
    grounded = ground(text, passages, question, each=each)
    cited = [passages[citation.marker - 1].chunk.text for citation in grounded.citations]
    cleaned, _ = clean_answer(grounded.text, cited)
    grounded = replace(grounded, text=_with_markers_of(grounded, cleaned))
    sentences = support(grounded, passages, question, similarity, min_support, scale, about=not each)
    if not is_answered(question, sentences, passages):
        return None, ()
    if each:
        grounded, sentences = _supported(grounded, sentences)
    return numbered(grounded, sentences)


def _supported(
    grounded: GroundedAnswer, sentences: Sequence[Sentence]
) -> tuple[GroundedAnswer, tuple[Sentence, ...]]:
    """Return the answer without sentences that are not supported."""
    kept = tuple(one for one in sentences if one.supported)
    if len(kept) < len(sentences):
        grounded = replace(grounded, text=" ".join(one.text.strip() for one in kept))
    return grounded, kept


def _with_markers_of(grounded: GroundedAnswer, text: str) -> str:
    """Return the cleaned text without markers that have no citation: removing what is in one uncovers another."""
    known = {str(citation.marker) for citation in grounded.citations}
    while (kept := _MARKER.sub(lambda found: found[0] if found[1] in known else "", text)) != text:
        text = kept
    return text
