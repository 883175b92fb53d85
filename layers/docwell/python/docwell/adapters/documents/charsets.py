"""Decode text in the encoding that it declares, or that fits the letters of its language. Pure."""

from __future__ import annotations

import codecs
import contextlib
import re
from collections import Counter
from encodings.aliases import aliases

from charset_normalizer import from_bytes

# Enough bytes to guess the encoding; more only takes longer.
_GUESSED = 65_536
# Unicode's byte order marks, with their encodings.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Bytes that never occur in text, as in file(1). DOS programs end a text with 0x1a.
_CONTROLS = frozenset(range(32)) - frozenset(b"\a\b\t\n\v\f\r\x1b")
_DOS_END = b"\x1a"
_REPLACED = "\ufffd"
# A page must declare its encoding within this many bytes (HTML, 4.2.5.4).
DECLARED_WITHIN = 1024
_DECLARATION = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
# The letters of languages beyond A to Z, by the encoding of their older texts, the most usual first.
# charset-normalizer mistakes Spanish or French for Polish: these encodings have letters at the same places.
_ALPHABETS = {
    "cp1252": (
        "\u00e4\u00f6\u00fc\u00df",  # German
        "\u00e0\u00e2\u00e6\u00e7\u00e8\u00e9\u00ea\u00eb\u00ee\u00ef\u00f4\u00f9\u00fb\u00fc\u0153",  # French
        "\u00e1\u00e9\u00ed\u00f1\u00f3\u00fa\u00fc",  # Spanish
        "\u00e0\u00e1\u00e2\u00e3\u00e7\u00e9\u00ea\u00ed\u00f3\u00f4\u00f5\u00fa\u00fc",  # Portuguese
        "\u00e0\u00e8\u00e9\u00ec\u00f2\u00f9",  # Italian
        "\u00e4\u00e5\u00e6\u00e9\u00f6\u00f8",  # Nordic languages
        "\u00e1\u00e6\u00e9\u00ed\u00f0\u00f3\u00f6\u00fa\u00fd\u00fe",  # Icelandic
    ),
    "cp1250": (
        "\u00f3\u0105\u0107\u0119\u0142\u0144\u015b\u017a\u017c",  # Polish
        "\u00e1\u00e9\u00ed\u00f3\u00fa\u00fd\u010d\u010f\u011b\u0148\u0159\u0161\u0165\u016f\u017e",  # Czech
        "\u00e1\u00e4\u00e9\u00ed\u00f3\u00f4\u00fa\u00fd\u010d\u010f\u013e\u0148\u0161\u0165\u017e",  # Slovak
        "\u00e1\u00e9\u00ed\u00f3\u00f6\u00fa\u00fc\u0151\u0171",  # Hungarian
        "\u0107\u010d\u0111\u0161\u017e",  # Croatian and Slovene
        "\u00e2\u00ee\u0103\u015f\u0163",  # Romanian
    ),
    "cp1254": ("\u00e2\u00e7\u00ee\u00f6\u00fb\u00fc\u011f\u0131\u015f",),  # Turkish
}
_ALPHABETS["iso8859_2"] = _ALPHABETS["cp1250"]
# The least share of letters that fit: texts name people and places of other countries.
LEAST_SHARE = 0.9
# A text in Latin letters has at least half of its letters from A to Z.
LEAST_PLAIN = 0.5
# The other characters that such texts have. Any further one shows that the text is in another encoding.
_SIGNS = frozenset(
    "\u00a0\u00aa\u00b5\u00ba\u00ab\u00bb\u00bf\u00a1\u00a3\u00a7\u00a9\u00ae\u00b0\u00b1\u00b2\u00b3\u00b7\u00bc\u00bd\u00be\u00d7"
)
_SIGNS |= frozenset("\u2013\u2014\u2018\u2019\u201a\u201c\u201d\u201e\u2022\u2026\u20ac\u2122")
_WARM_UP = "Größe und Höhe müssen täglich geprüft werden.".encode("cp1252")


def load_codecs() -> None:
    """Load all codecs of Python, and what charset-normalizer imports with its first guess."""
    for name in sorted({"utf-8-sig", *aliases.values()}):
        # Not every machine has every codec: mbcs exists only on Windows.
        with contextlib.suppress(LookupError):
            codecs.lookup(name)
    from_bytes(_WARM_UP).best()


def decoded(data: bytes) -> str | None:
    """Return the text of a file with line feeds only; None where it is no text."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            text: str | None = data.decode(encoding, "replace")
            break
    else:
        data = data.removesuffix(_DOS_END)
        if not _CONTROLS.isdisjoint(data[:_GUESSED]) or not _CONTROLS.isdisjoint(data):
            return None
        text = _without_mark(data)
    if text is None or not _CONTROLS.isdisjoint(map(ord, text)):
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _without_mark(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        text, place = data.decode("utf-8", "replace"), error.start
    damaged = text.count(_REPLACED)
    # Text in another encoding has hardly a character that is valid UTF-8; a damaged UTF-8 text has many.
    if sum(not character.isascii() for character in text) > 2 * damaged:
        return text
    sample = _sample(data, place)
    encoding = declared(data) or encoding_of(sample)
    if encoding is None:
        guess = from_bytes(sample).best()
        encoding = None if guess is None else guess.encoding
    return None if encoding is None else data.decode(encoding, "replace")


def _sample(data: bytes, place: int) -> bytes:
    """Return whole lines, so that the sample cuts no character: from the beginning, or from far inside."""
    start = 0 if place < _GUESSED else max(data.rfind(b"\n", place - _GUESSED, place) + 1, place - _GUESSED)
    end = start + _GUESSED
    ends = data.rfind(b"\n", max(start, place), end) + 1 if end < len(data) else len(data)
    return data[start : ends or end]


def declared(data: bytes) -> str | None:
    """Return the encoding that a page declares, where its bytes are valid in it."""
    match = _DECLARATION.search(data, 0, DECLARED_WITHIN) if data.lstrip()[:1] == b"<" else None
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1].decode("ascii")).name
        data.decode(name)
    except (LookupError, UnicodeError, OSError):  # the sandbox forbids loading a rare codec
        return None
    # HTML defines these names as the larger encoding.
    return "cp1252" if name in {"ascii", "iso8859-1"} else name


def encoding_of(sample: bytes) -> str | None:
    """Return the encoding of a text in a language of Latin letters; None for another text."""
    shares: list[tuple[float, str]] = []
    for encoding, alphabets in _ALPHABETS.items():
        text = sample.decode(encoding, "replace").lower()
        plain = sum(letter.isascii() and letter.isalpha() for letter in text)
        beyond = Counter(letter for letter in text if not letter.isascii() and letter not in _SIGNS)
        if plain < LEAST_PLAIN * (plain + beyond.total()):
            continue
        best = max(sum(beyond[letter] for letter in alphabet) for alphabet in alphabets)
        shares.append((best / beyond.total() if beyond else 1.0, encoding))
        if encoding == "cp1252" and beyond.keys() <= frozenset("".join(alphabets)):
            # The text may name people of several countries.
            shares.append((LEAST_SHARE, encoding))
    share, encoding = max(shares, key=lambda pair: pair[0], default=(0.0, ""))
    return encoding if share >= LEAST_SHARE else None
