"""Compare what fonts draw for the characters of a page.

Part of the child's program.
"""

from __future__ import annotations

from typing import NamedTuple

# Characters of one line and size differ by less in both, in type sizes.
LEVEL = 0.01


class Outline(NamedTuple):
    """A character's font (an address, 0 where it is not upright), size, baseline, and extent in type sizes."""

    font: int
    size: float
    baseline: float
    bottom: float
    top: float
    width: float

    def is_beside(self, other: Outline) -> bool:
        """Return whether both characters are of one font and size, and on one line."""
        return self._is_as_large(other) and abs(self.baseline - other.baseline) <= LEVEL * self.size

    def is_unlike(self, other: Outline, apart: float) -> bool:
        """Return whether two outlines of one font and size differ by more than `apart`."""
        pairs = zip(self[3:], other[3:], strict=True)
        return self._is_as_large(other) and any(abs(one - two) > apart for one, two in pairs)

    def _is_as_large(self, other: Outline) -> bool:
        return self.font == other.font != 0 and abs(self.size - other.size) <= LEVEL * self.size
