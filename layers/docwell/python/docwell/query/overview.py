"""The mode `overview`: describe one document, from the pieces that ingest has marked in it, or all documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import TypeVar

from docwell.answers import Mode, Sentence
from docwell.errors import BadInput
from docwell.models import Mark, Part, Passage, collection_of
from docwell.ports import Overviews
from docwell.query.ask import Basis, Searched
from docwell.query.checking.grounding import Candidate, GroundedAnswer, candidates, cite, quotable, quoted, repeats
from docwell.query.checking.suspicion import suspicion
from docwell.query.document_names import plain
from docwell.query.prompting import Prompt
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import MOST_ROWS
from docwell.text.lexicon import content_words, segments
from docwell.text.naming import file_words
from docwell.text.prose import is_bibliography, is_sentence, paragraphs

_Item = TypeVar("_Item")
# A passage gives place to this many statements, so that an overview's prompt is about as long as other prompts: a
# statement has about 48 tokens and a passage 200. The opening takes two passages, the headings one.
_PER_PASSAGE = 4
_PASSAGES_OF_OPENING_AND_HEADINGS = 3
_HEADINGS = 12
# An overview without a model: first the title, up to as many characters; then sentences of the opening, of the
# passages nearest to the question, and of all other pieces.
_LONGEST_TITLE = 200
# Titles without a passage near the question.
_MOST_TITLES = 20
_OF_OPENING, _OF_NEAREST, _OF_REMAINDER = 5, 4, 3
# The first pieces are the opening, which has about two chunks.
_OPENING = 2
ONE_DOCUMENT = "an overview is of one document, and this question has found several: name one as `document`"


@dataclass(frozen=True, slots=True)
class Overview:
    """The documents' marked pieces, and the prompt for them.

    An `extractive` overview quotes the document's sentences at once, without a model: for slow model hosts.
    """

    index: Overviews
    prompt: Prompt
    extractive: bool = False

    def basis(self, searched: Searched) -> Basis | None:
        """Return pieces of the one document that all passages belong to, about as long as `top_k` passages.

        They belong to the passages' generation, are in document order, and include the passages. Return None
        without a passage, and for a document that an earlier release indexed. Raises `BadInput` for passages of
        several documents.
        """
        generations = {(passage.document, passage.generation) for passage in searched.passages}
        if len(generations) > 1:
            raise BadInput(ONE_DOCUMENT)
        passages = tuple(
            piece
            for generation in generations
            for piece in pieces(self.index.marked(*generation), searched.top_k, searched.passages)
        )
        if not passages:
            return None
        basis = Basis(Mode.OVERVIEW, passages, self.prompt)
        if not self.extractive:
            return basis
        answer, sentences = digest(searched.text, passages)
        return replace(basis, answer=answer, sentences=sentences) if answer.citations else None


def pieces(
    marked: Sequence[tuple[Passage, Sequence[Mark]]], top_k: int, near: Sequence[Passage] = ()
) -> tuple[Passage, ...]:
    """Return the opening, the largest headings and statements from all parts, in the order of the document.

    The passages nearest to the question, best first, replace the pieces that they contain. A suspicious chunk
    gives no piece, because a piece alone may look harmless. Without marks there are no pieces.
    """
    by_text: dict[str, tuple[Mark, Passage, str]] = {}
    for passage, marks in sorted(marked, key=lambda entry: (entry[0].chunk.page, entry[0].chunk.start)):
        for mark in sorted(marks, key=lambda mark: mark.start):
            piece = replace(passage, chunk=passage.chunk.part(mark.start, mark.end))
            by_text.setdefault(piece.chunk.text, (mark, piece, passage.chunk.text))
    by_part = {part: [entry for entry in by_text.values() if entry[0].part is part] for part in Part}
    statements = _PER_PASSAGE * max(top_k - _PASSAGES_OF_OPENING_AND_HEADINGS, 1)
    chosen = [
        *by_part[Part.OPENING],
        *nlargest(_HEADINGS, by_part[Part.HEADING], key=lambda entry: entry[0].size),
        *spread(by_part[Part.STATEMENT], statements),
    ]
    # Check for suspicion last: a document of 20,000 pages has 10,000 marked chunks.
    harmless = [piece for _, piece, chunk_text in chosen if not suspicion(chunk_text)]
    best = [passage for passage in near if harmless and not suspicion(passage.chunk.text)]
    outside = [piece for piece in harmless if not any(_holds(passage, piece) for passage in best)]
    return tuple(sorted([*best, *outside], key=lambda piece: (piece.chunk.page, piece.chunk.start)))


def contents(retrieval: Retrieval, searched: Searched) -> Basis | None:
    """Return the count of the documents in scope, the titles of those found, and questions to ask about them.

    The ledger has all, so no model is called. Return None for a single document.
    """
    live, complete = searched.scope.documents(retrieval.catalogue, MOST_ROWS)
    hits = {hit.document: hit for hit in searched.passages if hit.document in live}
    if len(live) <= 1 or not hits:
        return None
    files = {key: "" if suspicion(file_words(key)) else key.rpartition("/")[2] for key in live}
    # Cleaning leaves nothing of a name that is an address.
    files = {key: plain(file) or plain(file.replace(".", " ")) or "document" for key, file in files.items()}
    titles = {key: plain(row.attributes.title or "") for key, row in live.items()}
    titles = {key: text for key, text in titles.items() if len(text) <= _LONGEST_TITLE and not suspicion(text)}
    titles = files | {key: text for key, text in titles.items() if any(map(str.isalpha, text))}
    title_words = re.findall(r"[^\W_]+", " ".join(map(titles.__getitem__, hits)))
    word, (first, *_, last) = max(title_words, key=len, default="document"), [*hits, *hits]
    others = sorted(live.keys() - hits.keys())
    lines = [
        f"{'' if complete else 'Over '}{len(live)} documents, collections: {len({*map(collection_of, live)})}.",
        *(f"- {titles[key]} [{number}]" for number, key in enumerate(hits, 1)),
        *(f"- {titles[key]}" for key in others[:_MOST_TITLES]),
        *([f"- and {len(others) - _MOST_TITLES} more"] if others[_MOST_TITLES:] else []),
        f"Ask: “What is {files[first]} about?”, “Which documents mention {word}?”, “List dates in {files[last]}”.",
    ]
    cited = tuple(cite(number, hit, *segments(hit.chunk.text)[0]) for number, hit in enumerate(hits.values(), 1))
    return Basis(Mode.OVERVIEW, tuple(hits.values()), answer=GroundedAnswer("\n".join(lines), cited))


def digest(question: str, passages: Sequence[Passage]) -> tuple[GroundedAnswer, tuple[Sentence, ...]]:
    """Return an overview that quotes the document in its order, without a model: it can say nothing false.

    It has the title, then whole sentences: of the opening, of the passages that a search has returned ("What
    did the court decide in the end?"), the nearest to the question first, and of all parts.
    """
    chosen = list[Candidate]()
    for passage in passages[:1]:  # its first lines, if they can be quoted and are neither prose nor an address
        text, line = passage.chunk.text, paragraphs(passage.chunk.text)[0]
        shown, is_changed = quotable(line)
        if len(line) <= _LONGEST_TITLE and "@" not in line and not is_changed and not is_sentence(line):
            before = re.match(r"\s*" + r"\s+".join(map(re.escape, line.split())), text)
            end = before.end() if before else len(line)
            chosen.append(Candidate(0.0, 1, 0, end, shown, content_words(shown)))
    lists = {number for number, passage in enumerate(passages, 1) if is_bibliography(passage.chunk.text)}
    quotable_sentences = list(candidates(question, passages))
    # Some languages do not mark the end of a sentence.
    prose = [
        candidate
        for candidate in quotable_sentences
        if candidate.marker not in lists and is_sentence(candidate.text)
    ] or quotable_sentences
    by_merit = sorted(prose, key=lambda candidate: -candidate.merit)
    parts = (
        ([candidate for candidate in prose if candidate.marker <= _OPENING], _OF_OPENING),
        # Passages of no search have no score.
        ([candidate for candidate in by_merit if passages[candidate.marker - 1].score > 0], _OF_NEAREST),
        (spread([candidate for candidate in prose if candidate.marker > _OPENING], _OF_REMAINDER), _OF_REMAINDER),
    )
    for part, limit in parts:
        most = len(chosen) + limit
        for candidate in part:
            if len(chosen) < most and not repeats(candidate, chosen):
                chosen.append(candidate)
    return quoted(sorted(chosen, key=lambda candidate: (candidate.marker, candidate.start)), passages)


def spread(items: Sequence[_Item], limit: int) -> list[_Item]:
    """Return up to `limit` items at equal distances, the first among them."""
    return [items[number * len(items) // limit] for number in range(limit)] if len(items) > limit else [*items]


def _holds(passage: Passage, piece: Passage) -> bool:
    """Return whether a piece is a part of a passage of the same document."""
    outer, inner = passage.chunk, piece.chunk
    return outer.page == inner.page and outer.start <= inner.start and inner.end <= outer.end
