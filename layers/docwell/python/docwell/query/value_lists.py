"""List all values of a kind, such as dates, by document and page, from the text looked through in full.

No model is asked. Values are as written, and each page has a value once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from docwell.answers import Citation, Mode
from docwell.models import Passage
from docwell.query.asked_values import AskedValues
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.grounding import GroundedAnswer, cite, unit_of
from docwell.query.checking.suspicion import suspicion
from docwell.query.document_names import plain, wholly_named
from docwell.query.looking import Library, Looked
from docwell.query.modes import Basis, Searched
from docwell.query.values import KINDS, ValueKind
from docwell.text.lexicon import MAX_QUOTE_CHARACTERS, segments
from docwell.text.naming import file_words
from docwell.text.visible import strip_invisible

# The most lines of an answer, and the most values of all lines together: each passage that they name is cited, at
# about 1 KB. The counts are of all.
MOST_LINES, MOST_VALUES = 50, 400

NO_NAMES = (
    "A list cannot have names of people, organisations or places: without a model they cannot be told from other "
    f"words. It can have {', '.join(kind.plural for kind in KINDS[:-1])} and {KINDS[-1].plural}."
)


@dataclass(frozen=True, slots=True)
class _Found:
    """A value as shown, its passage, its place there (start, end), and the page or unit of this place."""

    shown: str
    passage: Passage
    span: tuple[int, int]
    place: str


def list_values(library: Library, asked: AskedValues, searched: Searched) -> Basis:
    """Return the list of each kind as one answer; of the documents that the question names, if it names any.

    An answer without passages is a refusal: no document has a value, or the question asks for names alone.
    """
    live, complete = library.live(searched.scope)
    named = wholly_named(searched.text, live)
    live = {key: one for key, one in live.items() if key in named} or live
    more = not complete and not named
    texts, cited, partly = list[str](), _Cited(), False
    for kind in asked.kinds:
        looked = library.look(searched.scope, live, [kind.pattern], partial(_having, kind), more=more)
        partly = partly or looked.unreached > 0
        texts.append(_listed(kind, looked, cited))
    notes = [NO_NAMES] if asked.names else []
    if asked.kinds and (others := asked.beside(map(file_words, named))):
        words = ", ".join(f"“{plain(one)}”" for one in others)
        notes.append(f"These words do not limit the list: {words}.")
    text = "\n\n".join([*texts, *notes])
    answer = GroundedAnswer(text, cited.citations())
    return Basis(Mode.LIST, tuple(cited.passages), answer=answer, partial=partly)


class _Cited:
    """The passages that an answer cites, each once, with the places of its values."""

    def __init__(self) -> None:
        self._spans: dict[str, list[tuple[int, int]]] = {}
        self._markers: dict[str, int] = {}
        self.passages: list[Passage] = []

    def marker(self, one: _Found) -> int:
        """Return the marker of the value's passage."""
        id_ = one.passage.id
        if id_ not in self._markers:
            self.passages.append(one.passage)
            self._markers[id_] = len(self.passages)
        self._spans.setdefault(id_, []).append(one.span)
        return self._markers[id_]

    def citations(self) -> tuple[Citation, ...]:
        """Return the citations: each quotes the sentences of its values, as far as a quote goes."""
        return tuple(
            cite(number, passage, *_quoted(passage.chunk.text, self._spans[passage.id]))
            for number, passage in enumerate(self.passages, 1)
        )


def _quoted(text: str, spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the place of the sentence of the first value, and of the others that a quote has room for."""
    first, last = spans[0][0], max(end for _, end in spans)
    own = [(start, end) for start, end in segments(text) if end > first and start < last]
    start = own[0][0]
    return start, max((end for _, end in own if end - start <= MAX_QUOTE_CHARACTERS), default=own[0][1])


def _having(kind: ValueKind, hits: Iterable[Passage]) -> list[Passage]:
    return [one for one in hits if kind.find(one.chunk.text)]


def _values(kind: ValueKind, hits: Iterable[Passage]) -> list[_Found]:
    """Return the values of the passages, in the order of the documents, each once on a page."""
    found: dict[tuple[str, str, str], _Found] = {}
    for passage in sorted(hits, key=lambda one: (one.document, one.chunk.page, one.chunk.start)):
        chunk = passage.chunk
        trusted = not suspicion(chunk.text)
        for start, end in kind.find(chunk.text):
            said = " ".join(strip_invisible(chunk.text[start:end]).split())
            shown, _ = clean_answer(said, [said] if trusted else [])
            place = plain(unit_of(chunk, start).label) if chunk.citation_units else f"page {chunk.page}"
            found.setdefault(
                (passage.document, place, shown.casefold()), _Found(shown, passage, (start, end), place)
            )
    return [*found.values()]


def _listed(kind: ValueKind, looked: Looked, cited: _Cited) -> str:
    """Return a line for each document, or for each place of a single one, and the count with its bound."""
    found = _values(kind, looked.hits)
    rows = [
        (name, [*row])
        for name, row in groupby(found, key=lambda one: one.place if looked.of_one else one.passage.document)
    ]
    room = max(MOST_VALUES // max(min(len(rows), MOST_LINES), 1), 1)
    lines = []
    for name, row in rows[:MOST_LINES]:
        places = [
            f"{'' if place == name else f'{place}: '}{_shown(some, cited)}"
            for place, some in groupby(row[:room], key=lambda one: one.place)
        ]
        more = f"; and {len(row) - room} more" if row[room:] else ""
        lines.append(f"- {plain(name)}: {'; '.join(places)}{more}")
    if rows[MOST_LINES:]:
        lines.append(f"- and {len(rows) - MOST_LINES} more")
    return "\n".join([*lines, "", _summary(kind, looked, found)]).strip()


def _shown(some: Iterable[_Found], cited: _Cited) -> str:
    """Return the values of one place, with a marker after the last value of each passage."""
    texts = []
    for _, group in groupby(some, key=lambda one: one.passage.id):
        values = [*group]
        marker = [cited.marker(one) for one in values][-1]
        texts.append(f"{', '.join(one.shown for one in values)} [{marker}]")
    return ", ".join(texts)


def _summary(kind: ValueKind, looked: Looked, found: Sequence[_Found]) -> str:
    """Return the count of values as written, each once for a document, and the bound."""
    values = {(one.passage.document, one.shown.casefold()) for one in found}
    so_far = "" if looked.is_complete else " so far"
    if looked.of_one:
        return (
            f"{kind.plural.capitalize()} in this document: {len(values) or 'none'}{so_far}. {looked.bound}".strip()
        )
    documents = len({document for document, _ in values})
    count = f"{looked.counted(documents)} {'have' if documents > 1 else 'has'} {kind.plural}"
    total = f", {len(values)}{so_far or ' in all'}" if values else ""
    return f"{count}{total}. {looked.bound}"
