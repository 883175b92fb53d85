"""Garbage collection during the start of a function."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage during the block. After it, never search the objects that the process has by then.

    The objects of a start stay for the life of the process. Searching them for garbage takes 4% of a cold start.
    A start that fails is repeated, so its objects are searched as ever.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        if enabled:
            gc.freeze()
    finally:
        if enabled:
            gc.enable()
