"""The interfaces to the documents bucket for clients: links, upload forms and deletions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from docwell.citation_units import CitationUnit


class DocumentLinks(Protocol):
    """Short-lived links with which a browser opens a document."""

    def link(self, document: str, version: str, unit: CitationUnit, media_type: str | None = None) -> str:
        """Return a URL of that version, of a PDF at the page, computed without the network.

        Without `media_type`, a document whose units are pages is a PDF.
        """


class UploadForm(NamedTuple):
    """An HTML form that uploads one file: POST the `fields`, and after them `file`, to the `url`."""

    url: str
    fields: Mapping[str, str]


class DocumentWriter(Protocol):
    """Changes to the documents bucket on behalf of a principal."""

    def form(self, document: str, size: int, content_type: str) -> UploadForm:
        """Return a short-lived form for exactly this key, size (bytes) and type, computed without the network."""

    def delete(self, document: str) -> None:
        """Remove the current version. A missing document is no error."""
