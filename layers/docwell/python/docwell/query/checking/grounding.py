"""The model's text becomes an answer whose every marker is a passage that the model was given. Pure.

A citation's quote is cut out of the passage, so it stands verbatim on the page.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from docwell.answers import Citation
from docwell.models import Passage
from docwell.query.checking.evidence import Evidence
from docwell.text.lexicon import MARKER, MAX_QUOTE_CHARACTERS, sentences, windows, words

__all__ = ["MAX_QUOTE_CHARACTERS", "GroundedAnswer", "cite", "ground", "quote_stands", "sentences", "words"]

# Of a sentence's words (by weight), this much must stand in a passage for it to be called the source.
MIN_SUPPORT = 0.5
# A passage that holds this much more of a sentence than the one the model named is its source instead.
BETTER_BY = 0.2

# A hyphen after a letter, with the line break that may follow it: PDFs hyphenate where lines end.
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad\u2010\u2011\x02\ufffe]\s*")
_SENTENCE_ENDS = ".!?\u061f\u0964\u3002\uff01\uff1f"


@dataclass(frozen=True, slots=True)
class GroundedAnswer:
    """`text` with markers that all resolve; no citation means that nothing in it could be tied to a passage."""

    text: str
    citations: tuple[Citation, ...]


def ground(text: str, passages: Sequence[Passage], question: str = "") -> GroundedAnswer:
    """Resolve the markers of `text` against `passages`, where `[1]` means `passages[0]`.

    Markers without a passage are removed, and one whose passage holds much less of its sentence than another
    does is moved there. Where the model gave no valid marker at all, each sentence gets that of the passage
    that holds most of it, if that is at least `MIN_SUPPORT`.
    """
    text = _normalise_markers(text.strip(), len(passages))
    if not passages:
        return GroundedAnswer(text, ())
    evidence = Evidence(passages, question)
    attribute_all = not MARKER.search(text)
    said: dict[int, frozenset[str]] = {}
    pieces: list[str] = []
    for sentence in sentences(text):
        checked, markers, content = _checked(sentence, evidence, attribute=attribute_all)
        pieces.append(checked)
        for marker in markers:
            said[marker] = said.get(marker, frozenset()) | content
    citations = tuple(_cite(marker, evidence, content) for marker, content in said.items())
    return GroundedAnswer(" ".join(pieces), citations)


def _checked(sentence: str, evidence: Evidence, *, attribute: bool) -> tuple[str, list[int], frozenset[str]]:
    """The sentence with the markers it should have, these markers, and its words."""
    content = words(MARKER.sub("", sentence))
    named = list(dict.fromkeys(int(number) for number in MARKER.findall(sentence)))
    best = evidence.best(content)
    support = evidence.support(content, best)
    if not named:
        if not attribute or support < MIN_SUPPORT:
            return sentence, [], content
        return _marked(sentence, best + 1), [best + 1], content
    if all(support - evidence.support(content, marker - 1) > BETTER_BY for marker in named):
        return _marked(MARKER.sub("", sentence), best + 1), [best + 1], content
    return sentence, named, content


def _normalise_markers(text: str, count: int) -> str:
    """`[1, 2]` becomes `[1][2]`; numbers without a passage go."""

    def valid(match: re.Match[str]) -> str:
        return "".join(f"[{n}]" for n in dict.fromkeys(map(int, re.findall(r"\d+", match[1]))) if 1 <= n <= count)

    cleaned = MARKER.sub(valid, text)
    return re.sub(r"[ \t]+([.,;])", r"\1", re.sub(r"[ \t]{2,}", " ", cleaned)).strip()


def _marked(sentence: str, marker: int) -> str:
    """The sentence with the marker before its full stop."""
    body = sentence.rstrip().rstrip(_SENTENCE_ENDS)
    return f"{body.rstrip()} [{marker}]{sentence.rstrip()[len(body) :]}"


def _cite(marker: int, evidence: Evidence, said: frozenset[str]) -> Citation:
    text = evidence.passages[marker - 1].chunk.text
    start, end = max(windows(text), key=lambda window: evidence.relevance(said, text[window[0] : window[1]]))
    return cite(marker, evidence.passages[marker - 1], start, end)


def cite(marker: int, passage: Passage, start: int, end: int) -> Citation:
    """The citation of a passage's text from `start` to `end`, on its page: a chunk is always of one page."""
    chunk = passage.chunk
    return Citation(
        marker=marker,
        document=passage.document,
        version=passage.version,
        page=chunk.page_start,
        page_label=chunk.label,
        quote=" ".join(chunk.text[start:end].split()),
        start=chunk.start + start,
        end=chunk.start + end,
        score=round(passage.score, 4),
        ocr_confidence=chunk.confidence,
    )


def quote_stands(quote: str, page_text: str) -> bool:
    r"""Whether a quote stands verbatim in a page's text, up to white space and hyphenation.

    >>> quote_stands("the long- term debt", "All of the long-\nterm debt"), quote_stands("", "All")
    (True, False)
    """
    wanted = _without_layout(quote)
    return bool(wanted) and wanted in _without_layout(page_text)


def _without_layout(text: str) -> str:
    return "".join(_HYPHEN.sub("", unicodedata.normalize("NFC", text)).split())
