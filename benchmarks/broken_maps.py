"""Errors that a font's wrong map to Unicode causes in a page's text. Each function takes a text and a seed."""

import random
import string
from collections.abc import Callable

_LETTERS = string.ascii_lowercase


def _per_letter(change: Callable[[str], str]) -> Callable[[str, int], str]:
    return lambda text, _seed: "".join(letter if letter.isspace() else change(letter) for letter in text)


def _shifted(by: int) -> Callable[[str], str]:
    return lambda letter: chr(max(33, ord(letter) + by))


def _rotated(letter: str) -> str:
    turned = _LETTERS[(_LETTERS.find(letter.lower()) + 1) % 26] if letter.lower() in _LETTERS else letter
    return turned.upper() if letter.isupper() else turned


def _permuted(text: str, seed: int) -> str:
    order = random.Random(seed).sample(_LETTERS, 26)
    table = str.maketrans(
        dict(zip(_LETTERS + _LETTERS.upper(), order + [letter.upper() for letter in order], strict=True))
    )
    return text.translate(table)


def _any_script(text: str, seed: int) -> str:
    chooser = random.Random(seed)
    blocks = (0x3B1, 0x430, 0x561, 0x5D0, 0x905, 0xE01, 0x10D0)
    table = {letter: chr(chooser.choice(blocks) + chooser.randrange(20)) for letter in set(text) - set(" \n")}
    return "".join(table.get(letter, letter) for letter in text)


BROKEN: dict[str, Callable[[str, int], str]] = {
    "private use": _per_letter(lambda letter: chr(0xE000 + ord(letter) % 256)),
    "the next letter": _per_letter(_rotated),
    "glyph index for code": _per_letter(_shifted(-29)),
    "permuted letters": _permuted,
    "any script": _any_script,
}
