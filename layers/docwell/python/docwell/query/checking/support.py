"""Measure how far the cited passages support each sentence of an answer. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from docwell.answers import Sentence
from docwell.models import Passage
from docwell.query.checking.facts import Known, figures, names
from docwell.query.checking.grounding import Evidence, GroundedAnswer, marked
from docwell.text.lexicon import MARKER, content_words, sentences, words

# Returns the cosines of each of the first texts with each of the second.
Similarity = Callable[[Sequence[str], Sequence[str]], Sequence[Sequence[float]]]

# The question's own words show less where a sentence comes from than the words that it adds.
_ASKED_WEIGHT = 0.3
# Cosines of all-MiniLM-L6-v2 at which meaning counts for nothing and for everything. Of 243 XQuAD questions stated
# with their answers, the right passage supports 97.5% and another 2.5%. With the answer to another question, which
# the passage does not hold, it supports 14%.
_UNRELATED = 0.45
_SAME = 0.95
# Full support, before and after rounding.
_FULL = 1 - 1e-9
_FULL_ROUNDED = 0.999
# A question for one of these can be answered in its own words. One for a number, a time or a person cannot.
_CHOOSING = frozenset({"what", "which"})


def support(
    grounded: GroundedAnswer,
    passages: Sequence[Passage],
    question: str = "",
    similarity: Similarity | None = None,
    min_support: float = 0.5,
) -> tuple[Sentence, ...]:
    """Return the sentences of an answer with their support, 0 to 1, from the passages that they cite.

    Lexical support is the share of a sentence's words, by rarity, that its cited passages hold. With `similarity`,
    a higher cosine to a cited window raises it to the mean of both. A sentence without markers has no support.
    `missing` lists figures that no passage holds, and names that neither a passage nor the question holds. A
    sentence with a missing figure is never supported.
    """
    texts = sentences(grounded.text)
    bare = [MARKER.sub("", text) for text in texts]
    cited = [tuple(marked(text, len(passages))) for text in texts]
    evidence = Evidence(passages, question, content_words)
    lexical = [_lexical(text, markers, evidence, question) for text, markers in zip(bare, cited, strict=True)]
    # Meaning adds nothing to full support, and embedding takes longer than all else here.
    compared = [() if share > _FULL else markers for share, markers in zip(lexical, cited, strict=True)]
    closest = _closest(bare, compared, evidence, similarity)
    known, asked = Known.of(passage.chunk.text for passage in passages), Known.of([question])
    checked: list[Sentence] = []
    for place, text in enumerate(texts):
        wrong = [figure.written for figure in figures(bare[place]) if not known.has_figure(figure)]
        unknown = [
            name.written for name in names(bare[place]) if not (known.has_name(name) or asked.has_name(name))
        ]
        score = _score(lexical[place], closest[place])
        checked.append(
            Sentence(
                text=text,
                markers=cited[place],
                support=round(score, 3),
                supported=score >= min_support and not wrong,
                missing=tuple(dict.fromkeys([*wrong, *unknown])),
            )
        )
    return tuple(checked)


def is_answered(question: str, checked: Sequence[Sentence]) -> bool:
    """Return whether a supported sentence adds something to the question; if none does, refuse.

    "Yes" and "no" add something. A question for what or which may be answered in its own words ("The Amazon
    rainforest covers the Amazon basin") if the cited passages hold every word.
    """
    asked = content_words(question)
    chooses = not _CHOOSING.isdisjoint(words(question))
    return any(
        sentence.supported
        and ((chooses and sentence.support >= _FULL_ROUNDED) or _adds(MARKER.sub("", sentence.text), asked))
        for sentence in checked
    )


def _lexical(bare: str, markers: Sequence[int], evidence: Evidence, question: str) -> float:
    """Return the share of a sentence's words, by rarity, that its cited passages hold."""
    known = frozenset[str]().union(*(evidence.known[marker - 1] for marker in markers))
    asked, said = content_words(question), content_words(bare)
    total = evidence.weight(said - asked) + _ASKED_WEIGHT * evidence.weight(said & asked)
    held = evidence.weight((said - asked) & known) + _ASKED_WEIGHT * evidence.weight(said & asked & known)
    return held / total if total else 0.0


def _score(lexical: float, closest: float | None) -> float:
    if closest is None:
        return lexical
    meaning = min(1.0, max(0.0, (closest - _UNRELATED) / (_SAME - _UNRELATED)))
    return max(lexical, (lexical + meaning) / 2)


def _closest(
    bare: Sequence[str], cited: Sequence[tuple[int, ...]], evidence: Evidence, similarity: Similarity | None
) -> list[float | None]:
    """Return the cosine of each sentence to the closest of its windows, one window for each marker."""
    if similarity is None or not any(cited):
        return [None] * len(bare)
    texts = [text.strip() for text in bare]
    pieces = [
        [_window(text, evidence, marker) for marker in markers] for text, markers in zip(texts, cited, strict=True)
    ]
    unique = list(dict.fromkeys(chain.from_iterable(pieces)))
    rows = iter(similarity([text for text, some in zip(texts, pieces, strict=True) if some], unique))
    closest: list[float | None] = []
    for some in pieces:
        cosines = dict(zip(unique, next(rows), strict=True)) if some else {}
        closest.append(max((cosines[piece] for piece in some), default=None))
    return closest


def _window(sentence: str, evidence: Evidence, marker: int) -> str:
    start, end = evidence.window(content_words(sentence), marker - 1)
    return " ".join(evidence.passages[marker - 1].chunk.text[start:end].split())


def _adds(bare: str, asked: frozenset[str]) -> bool:
    first = bare.strip().partition(" ")[0].strip(",.!:").casefold()
    return first in {"yes", "no"} or bool(content_words(bare) - asked)
