"""An answer without a language model: the sentences of the passages that are nearest to the question. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from docwell.models import Passage
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.evidence import Evidence
from docwell.query.checking.grounding import GroundedAnswer, cite
from docwell.query.checking.suspicion import strip_invisible, suspicion
from docwell.text.lexicon import MARKER, content_words, segments

MAX_CHARACTERS = 600
# A sentence of fewer words is a heading or a scrap of a table.
_FEWEST_WORDS = 4
# What a passage's cosine similarity to the question adds to the share of the question's words in a sentence.
_SCORE_WEIGHT = 0.5
# A sentence that shares this much of its words with one already taken says it again.
_SAME = 0.7


@dataclass(frozen=True, slots=True)
class _Candidate:
    merit: float
    marker: int
    start: int
    end: int
    text: str
    words: frozenset[str]


def extract(
    question: str, passages: Sequence[Passage], limit: int = 3, longest: int = MAX_CHARACTERS
) -> GroundedAnswer:
    """Up to `limit` sentences, verbatim up to white space and each with its marker, best first.

    Best is the share of the question's words, by rarity, that stand in the sentence, and half the passage's
    score. Passages that give orders are left out, and so are sentences with links, markup or reference marks of
    their own, which would read as citations. Of one passage the best sentence is the quote. At most `longest`
    characters of sentences; no text where nothing can be taken.
    """
    chosen: list[_Candidate] = []
    left = longest
    for candidate in sorted(_candidates(question, passages), key=lambda each: -each.merit):
        said_before = any(_overlap(candidate, earlier) > _SAME for earlier in chosen)
        if len(chosen) < limit and not said_before and len(candidate.text) <= left:
            chosen.append(candidate)
            left -= len(candidate.text)
    quoted: dict[int, _Candidate] = {}
    for candidate in chosen:
        quoted.setdefault(candidate.marker, candidate)
    return GroundedAnswer(
        " ".join(_marked(each) for each in chosen),
        tuple(cite(marker, passages[marker - 1], each.start, each.end) for marker, each in quoted.items()),
    )


def _candidates(question: str, passages: Sequence[Passage]) -> list[_Candidate]:
    asked = content_words(question)
    evidence = Evidence(passages, question, content_words)
    found: list[_Candidate] = []
    for marker, passage in enumerate(passages, 1):
        text = passage.chunk.text
        if suspicion(text):
            continue
        for start, end in segments(text):
            sentence = " ".join(strip_invisible(text[start:end]).split())
            said = content_words(sentence)
            if len(said) < _FEWEST_WORDS or MARKER.search(sentence) or clean_answer(sentence, [sentence])[1]:
                continue
            merit = evidence.share(asked, said) + _SCORE_WEIGHT * passage.score
            found.append(_Candidate(merit, marker, start, end, sentence, said))
    return found


def _overlap(one: _Candidate, other: _Candidate) -> float:
    return len(one.words & other.words) / min(len(one.words), len(other.words))


def _marked(candidate: _Candidate) -> str:
    body = candidate.text.rstrip(".")
    return f"{body} [{candidate.marker}]{candidate.text[len(body) :] or '.'}"
