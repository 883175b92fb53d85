"""Read the words that bound a figure, in the languages of `modes.json`: "no later than", "up to". Pure."""

from __future__ import annotations

import re

from docwell.text.lexicon import beginnings

_OVER = (
    r"exceed\w*|(?:more|less|fewer|later|earlier|longer|sooner|greater|higher|lower|larger|smaller)(?=\s+than\b)"
    r"|(?:mehr|weniger|sp\u00e4ter|fr\u00fcher|l\u00e4nger|k\u00fcrzer|h\u00f6her|niedriger|gr\u00f6\u00dfer|kleiner)(?=\s+als\b)"
    r"|(?:\u00fcber|unter)(?:schreit|steig)\w*|d\u00e9pass\w*|exc[\u00e9\u00e8]d\w*"
    r"|(?<=\bpas )(?:plus|moins)\b|exced\w*|super(?:a|e|an|en|ar|ar\u00e1|ar\u00e1n)\b"
    r"|(?:m\u00e1s|menos)(?=\s+(?:de|que|tarde)\b)"
)
# "Not exceed", "no later than", "not be kept for more than", "ne doit pas d\u00e9passer".
_NEGATED_BOUND = re.compile(
    r"(?:\b(?:not|cannot|never|no|nicht|keine?[mnrs]?|ne|pas)\b|n['\u2019]t\b|\bn['\u2019])"
    rf"(?:\s*[^\W\d_]+){{0,3}}?\s*\b(?P<over>{_OVER})(?:\s+pas\b)?"
    r"|\u4e0d[\u5f97\u80fd\u53ef\u5e94\u4f1a]{0,2}(?P<signs>\u8d85\u8fc7|[\u591a\u5c11\u665a\u8fdf\u65e9\u9ad8\u4f4e]\u4e8e)",
    re.IGNORECASE,
)


def without_negated_bounds(text: str, other: str) -> str:
    """Return a text without the negations that only bound something, unless the other text has their word.

    "Not later than Friday" denies "later than Friday", and agrees with "by Friday".
    """
    said = frozenset(beginnings(other))
    return _NEGATED_BOUND.sub(
        lambda found: " " if said.isdisjoint(beginnings(found["over"] or found["signs"])) else found[0], text
    )
