"""The mode `list`: which documents mention a subject, or all values of a kind, and on which pages.

It searches the text of every chunk, so it counts documents and not passages, up to limits that the answer states.
It calls no model, which would have to read all chunks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from docwell.answers import Citation, Mode
from docwell.errors import BadInput, Unavailable
from docwell.models import Passage
from docwell.ports import Catalogue, LiveDocument, Places
from docwell.query.ask import Basis, Searched
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.grounding import GroundedAnswer, cite, quotable, unit_of
from docwell.query.checking.suspicion import suspicion
from docwell.query.document_names import plain, written
from docwell.query.retrieval.scope import MOST_ROWS, Scope, by_collection
from docwell.query.subject import Subject, Term, find_subject
from docwell.query.values import ValueKind, WantedValues, wanted_values
from docwell.text.lexicon import MAX_QUOTE_CHARACTERS, segments
from docwell.text.naming import file_words
from docwell.text.page_lists import listed
from docwell.text.visible import strip_invisible

# The most chunks read for one list, at about 4 KB each.
MOST_HITS = 2000
# The most documents in one search. With too many chunks, divide the documents by this number.
_AT_ONCE = 200
_PART = 8
# The most lines of an answer. Each line about values cites its passage, at about 1 KB. Counts include all.
MOST_LINES, MOST_VALUE_LINES = 50, 200
# The most places named in a line about a document that is no PDF.
MOST_PLACES = 5
NO_SUBJECT = 'the subject of the list is not clear: put it between quotation marks, as in "wind farm"'


class TextIndex(Protocol):
    """The text of the chunks, to list all that mention a subject. Expressions have no look-around."""

    def containing(self, places: Places, patterns: Sequence[str], limit: int) -> Sequence[Passage]:
        """Return up to `limit` chunks whose text matches all regular expressions, in any case, in no order.

        Raises `Unavailable`.
        """


class Matches(NamedTuple):
    """The matching chunks, and how many `of` how many documents were searched completely.

    `more`: there are further documents, not counted. The index did not answer for `unreached` documents.
    """

    hits: list[Passage]
    documents: int
    of: int
    more: bool
    unreached: int = 0

    @property
    def is_complete(self) -> bool:
        """Return whether all documents were searched completely."""
        return self.documents == self.of and not self.more

    @property
    def of_one(self) -> bool:
        """Return whether there is only one document."""
        return self.of == 1 and not self.more

    def counted(self, number: int) -> str:
        """Return a count of documents, or of pages of the only one: "4 of the 27 documents".

        If some documents were not searched, it begins with "at least".
        """
        total = "its pages" if self.of_one else f"{self._all_documents} documents"
        if self.is_complete:
            return f"{number or 'None'} of {total}"
        return f"At least {number} of {total}" if number else "None of the pages looked through"

    @property
    def bound(self) -> str:
        """Return which documents were searched, and how to search the others."""
        if self.of_one:
            return "" if self.is_complete else "It was not looked through in full."
        if self.is_complete:
            return f"All {self.of} were looked through in full."
        bound = f"{self.documents} of {self._all_documents} documents were looked through in full"
        if self.unreached:
            return f"Only {bound}: there may be more. {self.unreached} cannot be reached now: try again later."
        return f"Only {bound}: there may be more. Name a collection or a filter to look through fewer."

    @property
    def _all_documents(self) -> str:
        return f"over {self.of}" if self.more else f"the {self.of}"


@dataclass(frozen=True)
class Lists:
    """The mode `list`, of the documents and their text. A search of the texts takes up to `seconds`."""

    index: TextIndex
    catalogue: Catalogue
    seconds: float
    clock: Callable[[], float] = field(default=time.monotonic)

    def basis(self, searched: Searched) -> Basis:
        """Return the list as an answer; it has no passages if no document has the subject or a value.

        Raises `BadInput` where the question has no subject.
        """
        if values := wanted_values(searched.text, searched.documents if searched.mode is Mode.AUTO else None):
            return self._values(values, searched)
        subject = find_subject(searched.text)
        if subject is None:
            raise BadInput(NO_SUBJECT)
        live, complete = searched.scope.documents(self.catalogue, MOST_ROWS)
        matches = self._look(live, subject.patterns, more=not complete)
        return _mentions(subject, matches, self._current(searched.scope, _mentioning(subject, matches)))

    def _values(self, wanted: WantedValues, searched: Searched) -> Basis:
        """Return the list of each kind as one answer; of the documents that the question names, if it names any.

        An answer without passages is a refusal: no document has a value.
        """
        live, complete = searched.scope.documents(self.catalogue, MOST_ROWS)
        named = {name.key for name in written(searched.text, live)}
        live = {key: document for key, document in live.items() if key in named} or live
        more = not complete and not named
        texts, cited, is_partial = list[str](), list[tuple[Passage, Citation]](), False
        for kind in wanted.kinds:
            matches = self._look(live, [kind.pattern], more=more)
            is_partial = is_partial or matches.unreached > 0
            hits = self._current(searched.scope, [hit for hit in matches.hits if kind.find(hit.chunk.text)])
            texts.append(_value_list(kind, matches, hits, cited))
        if unmet := wanted.unmet(map(file_words, named)):
            texts.append(f"These words do not limit the list: {', '.join(f'“{plain(word)}”' for word in unmet)}.")
        answer = GroundedAnswer("\n\n".join(texts), tuple(citation for _, citation in cited))
        passages = tuple(passage for passage, _ in cited)
        return Basis(Mode.LIST, passages, answer=answer, partial=is_partial)

    def _look(self, live: Mapping[str, LiveDocument], patterns: Sequence[str], *, more: bool) -> Matches:
        """Search these documents in the order of their keys, until all are done or a limit is reached.

        Return the chunks that match all patterns. Raises `Unavailable` if the index answers no search.
        """
        keys, hits, unreached = sorted(live), list[Passage](), 0
        end, done, size = self.clock() + self.seconds, 0, _AT_ONCE
        while done < len(keys):
            room = MOST_HITS - len(hits)
            if room <= 0 or self.clock() > end:
                break
            batch = keys[done : done + size]
            try:
                chunks = self.index.containing(by_collection(batch), patterns, room + 1)
            except Unavailable:  # report the documents searched so far
                if not done:
                    raise
                unreached = len(keys) - done
                break
            if len(chunks) > room and len(batch) > 1:
                size = max(len(batch) // _PART, 1)
                continue
            hits += [chunk for chunk in chunks[:room] if live[chunk.document].generation == chunk.generation]
            if len(chunks) > room:
                break
            done += len(batch)
        return Matches(hits, done, len(live), more, unreached)

    def _current(self, scope: Scope, hits: Sequence[Passage]) -> list[Passage]:
        """Return the live hits, in order, after a consistent read: documents may have been deleted or replaced."""
        generations = scope.live(self.catalogue, list(dict.fromkeys(hit.document for hit in hits)))
        live = (hit for hit in hits if generations.get(hit.document) == hit.generation)
        return sorted(live, key=lambda hit: (hit.document, hit.chunk.page, hit.chunk.start))


def _mentioning(subject: Subject, matches: Matches) -> list[Passage]:
    """Return the chunks with a term, in the documents (or pages of one) that have the terms as joined."""

    def places(chunks: Iterable[Passage]) -> set[str | int]:
        return {chunk.chunk.page if matches.of_one else chunk.document for chunk in chunks}

    mentions = [_closest(term, matches.hits) for term in subject.terms]
    join = set[str | int].union if subject.any_term else set[str | int].intersection
    matching = join(*map(places, mentions))
    matching -= set[str | int]().union(*(places(_closest(term, matches.hits)) for term in subject.without))
    return [hit for hit in dict.fromkeys(hit for group in mentions for hit in group) if places([hit]) <= matching]


def _closest(term: Term, hits: Sequence[Passage]) -> list[Passage]:
    """Return the chunks that have a term as written; if no chunk does, those with all its words."""
    verbatim = [hit for hit in hits if term.is_verbatim_in(hit.chunk.text)]
    return verbatim or [hit for hit in hits if term.count_in(hit.chunk.text) == len(term.words)]


def _mentions(subject: Subject, matches: Matches, hits: Sequence[Passage]) -> Basis:
    """Return the answer: a line for each document, or for each page of one."""
    groups: dict[str | int, list[Passage]] = {}
    for hit in hits:
        groups.setdefault(hit.chunk.page if matches.of_one else hit.document, []).append(hit)
    lines, cited, citations = [], [], []
    for name, group in list(groups.items())[:MOST_LINES]:
        best = next((hit for hit in group if not suspicion(hit.chunk.text)), group[0])
        cited.append(best)
        start, end = _sentence(subject, best.chunk.text)
        citations.append(cite(len(cited), best, start, end))
        if any(hit.chunk.citation_units for hit in group):
            units = (unit_of(hit.chunk, _sentence(subject, hit.chunk.text)[0]) for hit in group)
            labels = list(dict.fromkeys(unit.label for unit in units))
            remainder = f" and {len(labels) - MOST_PLACES} more" if labels[MOST_PLACES:] else ""
            where = "; ".join(labels[:MOST_PLACES]) + remainder
        else:
            pages = sorted({hit.chunk.page for hit in group})
            where = f"{'pages' if pages[1:] else 'page'} {listed(pages)}"
        title = where if matches.of_one else f"{plain(str(name))}, {where}"
        sentence, is_changed = quotable(best.chunk.text[start:end])
        # Do not quote a suspicious passage, nor a sentence that cleaning changes.
        quotation = "" if is_changed or suspicion(best.chunk.text) else f": “{sentence}”"
        lines.append(f"- {title}{quotation} [{len(cited)}]")
    if len(groups) > MOST_LINES:
        lines.append(f"- and {len(groups) - MOST_LINES} more")
    lines += ["", _mention_summary(subject, matches, len(groups))]
    answer = GroundedAnswer("\n".join(lines).strip(), tuple(citations))
    return Basis(Mode.LIST, tuple(cited), answer=answer, partial=matches.unreached > 0)


def _mention_summary(subject: Subject, matches: Matches, count: int) -> str:
    """Return the count of documents, or of pages of one, and its bound; for a denied question, also the others."""
    terms, without = (
        word.join(f"“{plain(term.text)}”" for term in group)
        for word, group in ((" or " if subject.any_term else " and ", subject.terms), (" or ", subject.without))
    )
    mentioned = f"{terms} but not {without}" if without else terms
    text = f"{matches.counted(count)} {'mention' if count > 1 else 'mentions'} {mentioned}"
    if subject.denied and count and matches.is_complete and not matches.of_one and (left := matches.of - count):
        text += f", the other {left} {'do' if left > 1 else 'does'} not"
    return f"{text}. {matches.bound}".strip()


def _sentence(subject: Subject, text: str) -> tuple[int, int]:
    """Return the place of the first sentence that mentions the subject, or of the one with most of its words."""
    return max(segments(text), key=lambda place: subject.closeness(text[slice(*place)]))


def _value_list(
    kind: ValueKind, matches: Matches, hits: Iterable[Passage], cited: list[tuple[Passage, Citation]]
) -> str:
    """Return a line for each place of a passage with its values as written, and their count with its bound.

    A place has a value once. Add the citations of the places to `cited`; a quote has as many values as it may.
    """
    lines, written = dict[tuple[Passage, str], dict[str, int]](), set[tuple[str, str, str]]()
    for passage in hits:
        chunk = passage.chunk
        trusted = not suspicion(chunk.text)
        for start, end in kind.find(chunk.text):
            value = " ".join(strip_invisible(chunk.text[start:end]).split())
            value, _ = clean_answer(value, [value] if trusted else [])
            place = plain(unit_of(chunk, start).label) if chunk.citation_units else f"page {chunk.page}"
            key = (passage.document, value.casefold(), place)
            if key in written:
                continue
            written.add(key)
            lines.setdefault((passage, place), {})[value] = start
    texts = list[str]()
    for (passage, place), values in list(lines.items())[:MOST_VALUE_LINES]:
        spans = [span for span in segments(passage.chunk.text) if span[1] > min(values.values())]
        begins, ends = spans[0]
        until = [
            end for start, end in spans if start <= max(values.values()) and end <= begins + MAX_QUOTE_CHARACTERS
        ]
        cited.append((passage, cite(len(cited) + 1, passage, begins, max([ends, *until]))))
        document = "" if matches.of_one else f"{plain(passage.document)}, "
        texts.append(f"- {document}{place}: {', '.join(values)} [{len(cited)}]")
    if len(lines) > MOST_VALUE_LINES:
        texts.append(f"- and {len(lines) - MOST_VALUE_LINES} more lines")
    return "\n".join([*texts, "", _value_summary(kind, matches, {key[:2] for key in written})]).strip()


def _value_summary(kind: ValueKind, matches: Matches, written: Collection[tuple[str, str]]) -> str:
    """Return the count of values as written, each once for a document, and the bound."""
    so_far = "" if matches.is_complete else " so far"
    if matches.of_one:
        count = f"{kind.plural.capitalize()} in this document: {len(written) or 'none'}{so_far}"
        return f"{count}. {matches.bound}".strip()
    documents = len({document for document, _ in written})
    count = f"{matches.counted(documents)} {'have' if documents > 1 else 'has'} {kind.plural}"
    total = f", {len(written)}{so_far or ' in all'}" if written else ""
    return f"{count}{total}. {matches.bound}"
