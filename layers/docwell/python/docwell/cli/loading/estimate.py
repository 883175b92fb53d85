"""The pages, the hours and the price of a load, from its listing alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docwell.query.costs import FunctionPrice, Prices

# 9,501 pages of 93 real documents have 13,700 bytes on average; by collection, from 3,200 to 79,000.
PAGE_BYTES = 13_700
# `make bench-ingest` indexes 13 pages a second on two cores; a function of this memory has 1.7 of them.
INGEST_MB = 3008
PAGE_S = 0.09


@dataclass(frozen=True, slots=True)
class DocumentRequests:
    """The requests that ingest sends for a document of one range.

    A read is 4 KB, a write 1 KB: about two states, the lease and the range.
    """

    reads: int = 8
    writes: int = 8
    messages: int = 5
    gets: int = 4


REQUESTS = DocumentRequests()


def indexing_price(
    price: Callable[[str], float], function: FunctionPrice, documents: int, function_s: float
) -> float:
    """Return the price of indexing documents, besides the servers; `price` returns that of a service."""
    each = (
        function.per_request
        + price("object_put")
        + REQUESTS.gets * price("object_get")
        + REQUESTS.messages * price("queue_request")
        + REQUESTS.reads * price("table_read")
        + REQUESTS.writes * price("table_write")
    )
    return function_s * INGEST_MB / 1024 * function.per_gb_second + documents * each


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected size of a load. `price` is in `currency`, None where the price file lacks a price."""

    pages: int
    price: float | None
    currency: str
    prices: str

    @classmethod
    def of(cls, documents: int, size: int, pages_each: float | None, prices: Prices) -> Estimate:
        """Estimate from the number of documents and their bytes; `pages_each` replaces the bytes of a page."""
        pages = math.ceil(documents * pages_each if pages_each else max(documents, size / PAGE_BYTES))

        def price(service: str) -> float:
            return prices.services[service].amount

        try:
            amount = indexing_price(price, prices.function, documents, pages * PAGE_S)
        except KeyError:
            amount = None
        return cls(pages, amount, prices.currency, prices.name)

    def hours(self, workers: int) -> float:
        """Return the hours that so many ingest functions take."""
        return self.pages * PAGE_S / workers / 3600
