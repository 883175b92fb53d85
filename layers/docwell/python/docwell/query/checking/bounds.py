"""Read the words that bound a figure, in the languages of `modes.json`: "no later than", "up to". Pure."""

from __future__ import annotations

import re

from docwell.text.lexicon import beginnings

_OVER = (
    r"exceed\w*|(?:more|less|fewer|later|earlier|longer|sooner|greater|higher|lower|larger|smaller)(?=\s+than\b)"
    r"|(?:mehr|weniger|später|früher|länger|kürzer|höher|niedriger|größer|kleiner)(?=\s+als\b)"
    r"|(?:über|unter)(?:schreit|steig)\w*|dépass\w*|exc[éè]d\w*|(?<=\bpas )(?:plus|moins)\b"
    r"|exced\w*|super(?:a|e|an|en|ar|ará|arán)\b|(?:más|menos)(?=\s+(?:de|que|tarde)\b)"
)
_SIGNS_OVER = "超过|[多少晚迟早高低]于"
# "Not exceed", "no later than", "not be kept for more than", "ne doit pas dépasser".
_NEGATED_BOUND = re.compile(
    r"(?:\b(?:not|cannot|never|no|nicht|keine?[mnrs]?|ne|pas)\b|n['\u2019]t\b|\bn['\u2019])"
    rf"(?:\s*[^\W\d_]+){{0,3}}?\s*\b(?P<over>{_OVER})(?:\s+pas\b)?|不[得能可应会]{{0,2}}(?P<signs>{_SIGNS_OVER})",
    re.IGNORECASE,
)
_UPPER = (
    r"at (?:the )?most|up to|maximum(?: of)?|max\.?|(?:less|fewer|lower|smaller|shorter|earlier|sooner) than|below"
    r"|within|höchstens|maximal|bis zu|(?:weniger|kürzer|früher|niedriger|kleiner) als|innerhalb von|binnen"
    r"|spätestens|au plus|au maximum|jusqu['\u2019]à|moins de|dans un délai de|como máximo|hasta|menos de"
    r"|至多|最多|[少早低]于"
)
_LOWER = (
    r"at least|minimum(?: of)?|min\.?|(?:more|longer|greater|higher|larger|later) than|over|above"
    r"|exceed(?:s|ed|ing)?|mindestens|wenigstens|(?:mehr|länger|später|höher|größer) als|frühestens"
    r"|au moins|au minimum|plus de|al menos|como mínimo|más de|至少|最少|超过|[多晚迟高]于"
)
_UPPER_DATE = "by|before|vor|avant(?: le)?|antes del?"
_LOWER_DATE = "after|nach|après(?: le)?|después del?"
# "At least EUR 5", "no later than the 5th".
_TO_FIGURE = r"\s*(?:\b(?:the|dem|am|le|el|[A-Z]{3})\s+)?[^\w\s]?$"
_BEFORE, _BEFORE_DATE = (
    re.compile(rf"(?<![a-z])(?:(?P<upper>{upper})|(?P<lower>{lower})){_TO_FIGURE}", re.IGNORECASE)
    for upper, lower in ((_UPPER, _LOWER), (f"{_UPPER}|{_UPPER_DATE}", f"{_LOWER}|{_LOWER_DATE}"))
)
# "5 members or more".
_AFTER = re.compile(
    r"(?:\s?[^\W\d_]+|\s?[%€$£¥])?\s?(?:"
    r"(?P<upper>(?:or less|or fewer|oder weniger|ou moins|o menos|at (?:the )?most|maximum|au plus|au maximum)\b"
    r"|nicht über(?:schreit|steig)|以下)"
    r"|(?P<lower>(?:or more|oder mehr|ou plus|o más|at least|minimum|au moins|au minimum)\b"
    r"|nicht unterschreit|以上))",
    re.IGNORECASE,
)
# The longest words of a bound, with its negation.
_REACH = 60
_DENIES = re.compile(
    r"\b(?:not?|none|nor|neither|never|without|cannot|nicht|nie|ohne|keine?[mnrs]?|ne|pas|sans|sin|nunca)\b"
    r"|n['\u2019]t\b|\bn['\u2019]|[不无没未]",
    re.IGNORECASE,
)


def bound(text: str, start: int, end: int, *, of_date: bool = False) -> str:
    """Return which bound of something a figure from `start` to `end` is: "upper", "lower", or "" if none."""
    begins = max(0, start - _REACH)
    found = (_BEFORE_DATE if of_date else _BEFORE).search(text, begins, start)
    if found is None:
        after = _AFTER.match(text, end)
        return (after.lastgroup or "") if after else ""
    name = found.lastgroup or ""
    is_negated = any(one.end() > found.start() for one in _NEGATED_BOUND.finditer(text, begins, start))
    return {"upper": "lower", "lower": "upper"}[name] if is_negated else name


def denies(text: str) -> bool:
    """Return whether a text has a negation, other than one that only bounds."""
    return _DENIES.search(without_negated_bounds(text, "")) is not None


def without_negated_bounds(text: str, other: str) -> str:
    """Return a text without the negations that only bound something, unless the other text has their word.

    "Not later than Friday" denies "later than Friday", and agrees with "by Friday".
    """
    said = frozenset(beginnings(other))
    return _NEGATED_BOUND.sub(
        lambda found: " " if said.isdisjoint(beginnings(found["over"] or found["signs"])) else found[0], text
    )
