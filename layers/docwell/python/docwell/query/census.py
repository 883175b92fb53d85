"""Answer which documents mention a subject, and on which pages, from all documents that the asker may read.

The text of every chunk is searched, so that the count is one of documents and not of passages. No model is asked:
it would have to read them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from docwell.answers import Mode
from docwell.errors import BadInput
from docwell.models import Passage
from docwell.query.asked_values import asked_values, asked_values_alone
from docwell.query.checking.extractive import quotable
from docwell.query.checking.grounding import GroundedAnswer, cite, unit_of
from docwell.query.checking.suspicion import suspicion
from docwell.query.document_names import plain
from docwell.query.looking import Library, Looked
from docwell.query.modes import Basis, Searched
from docwell.query.retrieval.ranking import nearest
from docwell.query.retrieval.scope import Scope
from docwell.query.subject import Subject, Subjects
from docwell.query.terms import Join
from docwell.query.value_lists import list_values
from docwell.text.lexicon import segments
from docwell.text.page_lists import listed

# The most lines of an answer. The count is of all.
MOST_LINES = 50
# The most places named in a line about a document that is no PDF.
MOST_PLACES = 5
NO_SUBJECT = 'the subject of the list is not clear: put it between quotation marks, as in "wind farm"'


@dataclass(frozen=True)
class Census:
    """The mode `list`."""

    library: Library
    subjects: Subjects

    def basis(self, searched: Searched) -> Basis | None:
        """Return the list as an answer. None where docwell has chosen the mode and no document has the subject.

        Raises `BadInput` where the question has no subject.
        """
        text, is_auto = searched.text, searched.mode is Mode.AUTO
        values = asked_values_alone(text, searched.documents) if is_auto else asked_values(text)
        if values:
            basis = list_values(self.library, values, searched)
            return None if is_auto and not basis.passages else basis
        subject = self.subjects.find(text)
        if subject is None or not subject.patterns:  # signs alone, as "++"
            raise BadInput(NO_SUBJECT)
        looked = self._look(searched.scope, subject)
        if not looked.hits and subject.shorter:
            subject = subject.shorter
            looked = self._look(searched.scope, subject)
        if not looked.hits and is_auto:
            return None
        return answered(subject, looked, searched.vector)

    def _look(self, scope: Scope, subject: Subject) -> Looked:
        live, complete = self.library.live(scope)
        look = partial(self.library.look, scope, live, more=not complete)
        if not subject.terms:
            return look(subject.patterns, partial(_mentioning, subject))
        if subject.may_be_one:
            looked = look(subject.patterns, partial(_as_phrase, subject))
            if looked.hits:
                return looked
        by_page = complete and len(live) == 1
        return look([subject.pattern_of_terms], partial(_joined, subject, by_page=by_page))


def _as_phrase(subject: Subject, hits: Sequence[Passage]) -> list[Passage]:
    """Return the chunks that have the subject as one phrase: "Marks and Spencer"."""
    return [one for one in hits if subject.is_verbatim_in(one.chunk.text)]


def _joined(subject: Subject, hits: Sequence[Passage], *, by_page: bool) -> list[Passage]:
    """Return the chunks with a term, of the documents, or the pages of one, that have the terms as joined."""
    found = [_mentioning(one, hits) for one in subject.terms]
    without = [_mentioning(one, hits) for one in subject.without]

    def places(some: Sequence[Passage]) -> set[str | int]:
        return {one.chunk.page if by_page else one.document for one in some}

    kept = set[str | int]().union(*map(places, found))
    if subject.join is Join.ALL:
        kept = kept.intersection(*map(places, found))
    kept -= set[str | int]().union(*map(places, without))
    chosen = {one.id for some in found for one in some if places([one]) <= kept}
    return [one for one in hits if one.id in chosen]


def _mentioning(subject: Subject, hits: Sequence[Passage]) -> list[Passage]:
    """Return the chunks that mention the subject as closely as the closest of them."""
    found, ways = list[Passage](), [subject.is_verbatim_in, subject.is_in, subject.is_loosely_in]
    for one in hits:
        way = next((number for number, is_in in enumerate(ways) if is_in(one.chunk.text)), None)
        if way is None:
            continue
        if way + 1 < len(ways):  # closer than all before
            found, ways = [], ways[: way + 1]
        found.append(one)
    return found


def _where(subject: Subject, group: Sequence[Passage]) -> str:
    """Return the pages of the passages of a PDF, or the first places of those of another document."""
    if not any(one.chunk.citation_units for one in group):
        pages = sorted({one.chunk.page for one in group})
        return f"{'pages' if pages[1:] else 'page'} {listed(pages)}"
    ordered = sorted(group, key=lambda one: (one.chunk.page, one.chunk.start))
    units = (unit_of(one.chunk, _place(subject, one.chunk.text)[0]) for one in ordered)
    labels = list(dict.fromkeys(unit.label for unit in units))
    rest = f" and {len(labels) - MOST_PLACES} more" if labels[MOST_PLACES:] else ""
    return "; ".join(labels[:MOST_PLACES]) + rest


def answered(subject: Subject, looked: Looked, vector: Sequence[float]) -> Basis:
    """Return the answer: a line for each document, the nearest to the question first, or for each page of one."""
    hits = _ranked(looked.hits, vector)
    of_one = looked.of_one
    groups: dict[str | int, list[Passage]] = {}
    for one in hits:
        groups.setdefault(one.chunk.page if of_one else one.document, []).append(one)
    shown = list(groups.items())
    if of_one:
        shown.sort(key=lambda group: group[1][0].chunk.page)
    lines, cited, citations = [], [], []
    for name, group in shown[:MOST_LINES]:
        best = next((one for one in group if not suspicion(one.chunk.text)), group[0])
        cited.append(best)
        start, end = _place(subject, best.chunk.text)
        citations.append(cite(len(cited), best, start, end))
        where = _where(subject, group)
        title = where if of_one else f"{plain(str(name))}, {where}"
        lines.append(f"- {title}{_quotation(best, start, end)} [{len(cited)}]")
    if shown[MOST_LINES:]:
        lines.append(f"- and {len(shown) - MOST_LINES} more")
    lines += ["", _summary(subject, looked, len(shown))]
    text = "\n".join(lines).strip()
    answer = GroundedAnswer(text, tuple(citations))
    return Basis(Mode.LIST, tuple(cited), answer=answer, partial=looked.unreached > 0)


def _summary(subject: Subject, looked: Looked, found: int) -> str:
    """Return the count of documents, or of pages of one, and its bound; of a denied question, the others too."""
    count = f"{looked.counted(found)} {'mention' if found > 1 else 'mentions'} {_told(subject, looked)}"
    if subject.denied and found and looked.is_complete and not looked.of_one and (rest := looked.of - found):
        count += f", the other {rest} {'do' if rest > 1 else 'does'} not"
    return f"{count}. {looked.bound}".strip()


def _told(subject: Subject, looked: Looked) -> str:
    """Return what the documents mention: the subject as written, or its terms where these were looked for."""
    if not subject.terms or (subject.may_be_one and _as_phrase(subject, looked.hits)):
        return f"“{plain(subject.text)}”"
    wanted, without = (
        word.join(f"“{plain(one.text)}”" for one in some)
        for word, some in (
            (" or " if subject.join is Join.ANY else " and ", subject.terms),
            (" or ", subject.without),
        )
    )
    return f"{wanted} but not {without}" if without else wanted


def _ranked(hits: Sequence[Passage], vector: Sequence[float]) -> list[Passage]:
    """Return the chunks by the cosine of their nearest unit, best first; a chunk without units has 0."""
    if not hits:
        return []
    near = np.maximum(nearest([one.units for one in hits], np.asarray(vector, dtype=np.float32)), 0.0).tolist()
    scored = map(Passage.scored, hits, near)
    return sorted(scored, key=lambda one: (-one.score, one.document, one.chunk.page, one.chunk.start))


def _place(subject: Subject, text: str) -> tuple[int, int]:
    """Return the place of the first sentence that mentions the subject, or that has most of its words."""
    return max(segments(text), key=lambda place: _said(subject, text[slice(*place)]))


def _said(subject: Subject, sentence: str) -> tuple[bool, bool, int]:
    return subject.is_verbatim_in(sentence), subject.is_in(sentence), subject.count_in(sentence)


def _quotation(passage: Passage, start: int, end: int) -> str:
    """Return the sentence to show; none of a passage that gives orders, or where cleaning changes it."""
    sentence, changed = quotable(passage.chunk.text[start:end])
    return "" if changed or suspicion(passage.chunk.text) else f": “{sentence}”"
