"""Console addresses of sources. They do not expire, and open only for callers that may read the document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from docwell.models import UnitKind

if TYPE_CHECKING:
    # Import for types only: the local gateway imports this module for ORIGIN_HEADER and needs no body models.
    from docwell.http.bodies import CitationBody, QueryResponse

# CloudFront and the local gateway set it to the address at which the caller reached the console. A caller that
# bypasses them can set it, but changes only its own answers. Pages of other origins cannot: the API has no CORS.
ORIGIN_HEADER = "x-docwell-origin"
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")


def console_of(headers: Mapping[str, str]) -> str | None:
    """Return the console's origin; None if the request did not come by it. Names of `headers` have any case."""
    origin = next((value for name, value in headers.items() if name.lower() == ORIGIN_HEADER), "")
    return origin if _ORIGIN.fullmatch(origin) else None


def linked(response: QueryResponse, console: str | None) -> QueryResponse:
    """Return the answer with links of its citations to the console, unchanged without one."""
    if console is None:
        return response
    citations = [
        citation.model_copy(update={"link": f"{console}/#/source?{_source(citation)}"})
        for citation in response.citations
    ]
    return response.model_copy(update={"citations": citations})


def _source(citation: CitationBody) -> str:
    """Return the parameters of the console's view of a source, as console/source.js reads them."""
    place = {} if citation.unit.kind is UnitKind.PAGE else {"place": citation.unit.label}
    source = {"document": citation.document, "version": citation.version, "page": citation.page, **place}
    return urlencode({**source, "quote": citation.display_quote}, quote_via=quote, safe="")
