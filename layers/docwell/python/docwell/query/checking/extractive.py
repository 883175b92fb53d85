"""Answer without a model: pick the sentences of the passages that are nearest to the question. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from docwell.answers import Citation, Sentence
from docwell.models import Passage
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.grounding import Evidence, GroundedAnswer, cite, numbered, with_marker
from docwell.query.checking.suspicion import suspicion
from docwell.text.lexicon import MARKER, MAX_QUOTE_CHARACTERS, SENTENCE_ENDS, content_words, segments, statements
from docwell.text.prose import after_headings
from docwell.text.visible import strip_invisible

MAX_CHARACTERS = 600
# A line of fewer content words is a heading or a scrap of a table, but not "Subletting is forbidden."
_FEWEST_WORDS, _FEWEST_OF_SENTENCE = 4, 2
# The weight of the passage's cosine beside the share of the question's words in the sentence.
_SCORE_WEIGHT = 0.5
# Two sentences that share more than this part of their words are repeats.
_SAME = 0.7
# The text of the passage is the sentence.
_FULL_SUPPORT = 1.0


class Candidate(NamedTuple):
    """A sentence of a passage: `start` to `end` in characters of its text. `text` is harmless."""

    merit: float
    marker: int
    start: int
    end: int
    text: str
    words: frozenset[str]


def extract(
    question: str, passages: Sequence[Passage], limit: int = 3, longest: int = MAX_CHARACTERS
) -> GroundedAnswer:
    """Return up to `limit` sentences of at most `longest` characters, best first, each with its marker.

    The best sentence holds most of the question's words, by rarity, in a passage with a high score. Passages that
    give orders are left out, and so are sentences with markup or reference marks, which would read as citations;
    addresses are spelled as `clean_answer` does. The best sentence of each passage is its quote. The text is ""
    if no sentence qualifies.
    """
    chosen: list[Candidate] = []
    left = longest
    for candidate in sorted(candidates(question, passages), key=lambda candidate: -candidate.merit):
        if len(chosen) < limit and not repeats(candidate, chosen) and len(candidate.text) <= left:
            chosen.append(candidate)
            left -= len(candidate.text)
    return quoted(chosen, passages)[0]


def repeats(candidate: Candidate, chosen: Iterable[Candidate]) -> bool:
    """Return whether one of the chosen sentences says the same."""
    return any(
        len(candidate.words & earlier.words) > _SAME * min(len(candidate.words), len(earlier.words))
        for earlier in chosen
    )


def quoted(
    chosen: Sequence[Candidate], passages: Sequence[Passage]
) -> tuple[GroundedAnswer, tuple[Sentence, ...]]:
    """Return the sentences as an answer, and each with its support; the first of each passage is its quote."""
    firsts: dict[int, Candidate] = {}
    for candidate in chosen:
        firsts.setdefault(candidate.marker, candidate)
    sentences = [(_marked(candidate), candidate.marker) for candidate in chosen]
    answer = GroundedAnswer(
        " ".join(text for text, _ in sentences),
        tuple(_cited(candidate, passages[marker - 1]) for marker, candidate in firsts.items()),
    )
    return numbered(
        answer,
        [Sentence(text, (marker,), _FULL_SUPPORT, supported=True, missing=()) for text, marker in sentences],
    )


def candidates(question: str, passages: Sequence[Passage]) -> Iterator[Candidate]:
    """Yield the sentences that can be quoted, in order."""
    asked = content_words(question)
    evidence = Evidence(passages, question, content_words)
    for marker, passage in enumerate(passages, 1):
        text = passage.chunk.text
        if suspicion(text):
            continue
        for begin, end in statements(text):
            start = after_headings(text, begin, end)
            sentence, removed = quotable(text[start:end])
            words = content_words(sentence)
            is_whole = sentence.endswith(tuple(SENTENCE_ENDS))
            if removed or len(words) < (_FEWEST_OF_SENTENCE if is_whole else _FEWEST_WORDS):
                continue
            merit = evidence.share(asked, words) + _SCORE_WEIGHT * passage.score
            yield Candidate(merit, marker, start, end, sentence, words)


def quotable(text: str) -> tuple[str, bool]:
    """Return a text on one line, harmless, and whether more than its spelling has to change to be so."""
    line = " ".join(strip_invisible(text).split())
    sentence, removed = clean_answer(line, [line])
    return sentence, bool(removed or MARKER.search(sentence))


def _cited(candidate: Candidate, passage: Passage) -> Citation:
    """Return the citation of a sentence; of several, the quote has those that are short enough."""
    start, last = candidate.start, min(candidate.end, candidate.start + MAX_QUOTE_CHARACTERS)
    ends = [end for _, end in segments(passage.chunk.text) if start < end <= last]
    return cite(candidate.marker, passage, start, max(ends, default=candidate.end))


def _marked(candidate: Candidate) -> str:
    ended = candidate.text.endswith(tuple(SENTENCE_ENDS))
    return with_marker(candidate.text if ended else candidate.text + ".", candidate.marker)
