"""The objects of several keys, read at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from docwell.errors import ObjectDenied

_Found = TypeVar("_Found")

_AT_ONCE = 8

logger = logging.getLogger(__name__)


def readable(read: Callable[[str], _Found], keys: Collection[str]) -> dict[str, _Found]:
    """Return the result of `read` for each key, without objects that the bucket refuses to show. Log these.

    One of them must not end each run at the same place.
    """

    def attempt(key: str) -> list[tuple[str, _Found]]:
        try:
            return [(key, read(key))]
        except ObjectDenied as error:
            logger.warning("object not readable", extra={"document": key, "detail": error.detail})
            return []

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(chain.from_iterable(pool.map(attempt, keys)))
