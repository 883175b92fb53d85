"""Addresses of the console for sources. They do not expire, and open for callers that may read the document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from docwell.citation_units import UnitKind

if TYPE_CHECKING:
    # The local gateway, which reads the header's name alone, starts without the models of the bodies.
    from docwell.http.bodies import CitationBody, QueryResponse

# CloudFront and the local gateway write it: the address at which the caller reached the console. A caller that
# reaches the API past them can write it, and changes its own answers alone. A page of another origin cannot: the
# API has no CORS.
ORIGIN_HEADER = "x-docwell-origin"
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")


def console_of(headers: Mapping[str, str]) -> str | None:
    """Return the console's origin; None if the request did not come by it. Names of `headers` have any case."""
    given = next((value for name, value in headers.items() if name.lower() == ORIGIN_HEADER), "")
    return given if _ORIGIN.fullmatch(given) else None


def linked(response: QueryResponse, console: str | None) -> QueryResponse:
    """Return the answer with links of its citations to the console, unchanged without one."""
    if console is None:
        return response
    citations = [
        one.model_copy(update={"link": f"{console}/#/source?{_source(one)}"}) for one in response.citations
    ]
    return response.model_copy(update={"citations": citations})


def _source(one: CitationBody) -> str:
    """Return the parameters of the console's view of a source, as console/source.js reads them."""
    place = {} if one.unit.kind is UnitKind.PAGE else {"place": one.unit.label}
    named = {"document": one.document, "version": one.version, "page": one.page, **place}
    return urlencode({**named, "quote": one.display_quote}, quote_via=quote, safe="")
