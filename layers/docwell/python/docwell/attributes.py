"""Attributes of a document from the PDF's metadata, S3 user metadata and S3 object tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

# S3's limits: 2 KB of user metadata, ten tags of 128 + 256 characters (of four bytes at most). A compatible store
# may allow more, and every listing reads whole rows of the ledger.
MAX_METADATA = 50
MAX_METADATA_BYTES = 2048
MAX_TAGS = 10
MAX_TAGS_BYTES = MAX_TAGS * (128 + 256) * 4

# ISO 32000-1, 7.9.4: "D:YYYYMMDDHHmmSSOHH'mm'". All after the year is optional; many programs omit the "D:".
_PDF_DATE = re.compile(r"\s*(?:D:)?(\d{4})(\d{2})?(\d{2})?")


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of one version of a document. `created` is the day in the PDF, such as 2026-03-01.

    `media_type` comes from the content; rows of earlier releases have none.
    Names in `metadata` are in lower case, as in S3; names in `tags` keep their case.
    """

    title: str | None = None
    author: str | None = None
    created: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    media_type: str | None = None


def day_of(pdf_date: str | None) -> str | None:
    """Return the day of a PDF's date in its own time zone, None for an invalid date."""
    match = _PDF_DATE.match(pdf_date or "")
    if match is None:
        return None
    year, month, day = (int(part or 1) for part in match.groups())
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def bounded(pairs: Mapping[str, str], max_pairs: int, max_bytes: int) -> dict[str, str]:
    """Return the pairs that fit the limits, in order of their names; a pair that does not fit is left out."""
    fitting: dict[str, str] = {}
    for name, value in sorted(pairs.items()):
        size = len(f"{name}{value}".encode("utf-8", "replace"))
        if len(fitting) < max_pairs and size <= max_bytes:
            fitting[name] = value
            max_bytes -= size
    return fitting
