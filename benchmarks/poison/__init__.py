"""PDFs made to hurt whoever opens them: each kind is a function that gives one file's bytes, always the same.

Nothing here is kept as a file: a virus scanner or a preview would open it too.
"""

from __future__ import annotations

from collections.abc import Callable

# Importing a module registers its kinds.
from benchmarks.poison import files, pages, structure
from benchmarks.poison.build import KINDS, healthy

__all__ = ["files", "healthy", "pages", "poison_kinds", "structure"]


def poison_kinds() -> dict[str, Callable[[], bytes]]:
    """Every kind by its name: some are a gigabyte in a few kilobytes, none is over 40 MB as a file."""
    return dict(KINDS)
