"""Use case: read the indexed text of one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from docwell.errors import NotFound
from docwell.identity import Principal
from docwell.models import Passage
from docwell.ports import Catalogue
from docwell.query import rights
from docwell.query.retrieval.scope import NO_DOCUMENT
from docwell.text.visible import strip_invisible

NO_PAGE = "this page does not exist, or has no text"


class PageIndex(Protocol):
    """The chunks of the index, by page."""

    def on_page(self, document: str, generation: str, page: int) -> Sequence[Passage]:
        """Return the chunks of a page in no order. Raises `BadInput` for a document with too many chunks."""


def read_page(catalogue: Catalogue, index: PageIndex, principal: Principal, document: str, page: int) -> str:
    """Return the text of a page (1-based) of the live version, as its chunks have it.

    Raises:
        NotFound: no such document or page, no text on it, or the principal may not see it.
        BadInput: the document is too long to read by page.
    """
    record = catalogue.get(document)
    if record is None or not record.answers or not rights.may_see_record(principal, record):
        raise NotFound(NO_DOCUMENT)
    text, end = "", 0
    for chunk in sorted(
        (one.chunk for one in index.on_page(document, record.live_generation or "", page)),
        key=lambda chunk: chunk.start,
    ):
        # Chunks may overlap, and leave out blanks between them.
        text += ("\n" if text and chunk.start > end else "") + chunk.text[max(end - chunk.start, 0) :]
        end = max(end, chunk.end)
    if not text:
        raise NotFound(NO_PAGE)
    return strip_invisible(text)
