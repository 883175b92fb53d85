"""The functions of PDFium, with pointers as integers."""

from __future__ import annotations

import ctypes
from typing import Any

Box = tuple[float, float, float, float]  # left, bottom, right, top


class Library:
    """The functions and constants of pypdfium2's `raw` module; functions take and return pointers as integers.

    They are twice as fast as pypdfium2's, and a page has a thousand objects.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._raw, name)
        if hasattr(member, "argtypes"):
            types = [
                ctypes.c_void_p if hasattr(kind, "contents") else kind  # a type of pointers
                for kind in (member.restype, *member.argtypes)
            ]
            member = ctypes.PYFUNCTYPE(*types)(address(member))
        setattr(self, name, member)
        return member


def address(pointer: Any) -> int:
    """Return the address that one of pypdfium2's objects or pointers holds; 0 for a null pointer."""
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0
