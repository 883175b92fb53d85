"""The quotas of a Chroma service: the most that one request may hold."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits of one request.

    `records` are written, removed or returned. `metadata_bytes` counts the names and values of a record, and
    `pattern_bytes` one regular expression.
    """

    records: int
    metadata_bytes: int
    pattern_bytes: int


# A server of your own has no quota. 5,000 records of metadata are about 2 MB of an answer.
UNLIMITED = Quotas(records=5000, metadata_bytes=sys.maxsize, pattern_bytes=sys.maxsize)
# https://docs.trychroma.com/cloud/quotas-limits gives the bytes of one value. Here they bound all values of a
# record, which is right by either reading. The page says 256 for a regular expression; the
# service's refusal says 130.
HOSTED = Quotas(records=300, metadata_bytes=4096, pattern_bytes=130)
