"""The interfaces to the documents bucket for clients: links, upload forms, deletions and loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from docwell.models import CitationUnit


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


class StoredObject(NamedTuple):
    """One row of a listing. `modified` is in seconds since the epoch; `archived` ones must be restored first."""

    key: str
    etag: str
    size: int
    modified: float = 0.0
    archived: bool = False


class Listing(Protocol):
    """The current objects of one bucket below a prefix."""

    def page(self, after: str, until: str = "") -> tuple[Sequence[StoredObject], str | None]:
        """Return objects after a key, up to and including another, in key order. An empty key is no bound.

        Also return the last key read, or None at the end.
        """

    def folders(self) -> Sequence[str]:
        """Return some folders below the prefix, in key order, without their sizes."""


class Copier(Protocol):
    """Copies into the documents bucket."""

    def copy(self, source: StoredObject, key: str) -> None:
        """Copy exactly the listed content to `key`.

        Raises `NotFound` where the object has other content now, `Forbidden`, and `Refused`, whose reason is
        `archived` or `refused`.
        """
