"""The encoding of a text that is not in Unicode: the one that it declares, or that of its language. Pure.

A guess from the bytes alone takes a text in Spanish or French for one in Polish: their encodings have letters at
the same places. So whole alphabets decide between the encodings of Latin letters.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter

# How far the declaration of a page may be from its beginning (HTML, 4.2.5.4).
DECLARED_WITHIN = 1024
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
# The letters that languages have beyond A to Z, by the encoding of their older texts, the most usual one first.
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
# Texts name people and places of other countries.
LEAST_SHARE = 0.9
# Signs between or behind letters, or other ones than opening quotation marks before such a letter, controls, and
# four such letters in a row: the text is in another encoding.
_ODD = re.compile(
    r"(?<=[^\W\d_])[\u0080-\u00a9\u00ab-\u00b1\u00b3\u00b4\u00b6\u00b8\u00b9\u00bb-\u00be\u00d7\u00f7](?=[^\W\d_])"
    r"|[\u00a2-\u00a9\u00ac\u00ae-\u00b4\u00b6-\u00b9\u00bc-\u00be\u00d7\u00f7](?=[^\W\d_A-Za-z])"
    r"|(?<=[^\W\d_])[\u00a6\u00b1\u00b6]|[\u0080-\u009f]|[^\W\d_A-Za-z]{4,}"
)
MOST_ODD = 0.1
_SIGNS = frozenset("\u00aa\u00b5\u00ba")


def declared(data: bytes) -> str | None:
    """Return the encoding that a page declares, where its bytes are valid in it."""
    found = _DECLARED.search(data, 0, DECLARED_WITHIN) if data.lstrip()[:1] == b"<" else None
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
        data.decode(name)
    except (LookupError, UnicodeError, OSError):  # the sandbox forbids to load a rare one
        return None
    # By the standard of HTML these names mean the larger encoding.
    return "cp1252" if name in {"ascii", "iso8859-1"} else name


def of_latin_letters(sample: bytes) -> str | None:
    """Return the encoding of a text in a language of Latin letters; None for another text."""
    found: list[tuple[float, str]] = []
    for encoding, alphabets in _ALPHABETS.items():
        letters = _letters(sample, encoding)
        if letters is not None:
            best = max(sum(letters[one] for one in alphabet) for alphabet in alphabets)
            found.append((best / letters.total() if letters else 1.0, encoding))
            known = frozenset("".join(alphabets))
            if encoding == "cp1252" and letters.keys() <= known:
                # People of several countries may be named.
                found.append((LEAST_SHARE, encoding))
    share, encoding = max(found, key=lambda one: one[0], default=(0.0, ""))
    return encoding if share >= LEAST_SHARE else None


def _letters(sample: bytes, encoding: str) -> Counter[str] | None:
    """Return the letters beyond A to Z; None where an encoding makes no text of a sample."""
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError:
        return None
    others = sum(not one.isascii() for one in text)
    if sum(map(len, _ODD.findall(text))) > MOST_ODD * others:
        return None
    return Counter(one for one in text.lower() if one.isalpha() and not one.isascii() and one not in _SIGNS)
