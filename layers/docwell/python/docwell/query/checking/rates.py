"""Read the span of time that a figure is for, in the languages of `modes.json`: "EUR 30 a month". Pure."""

from __future__ import annotations

import re

_SPANS = {
    "second": r"seconds?|sec|sekunde|seconde|segundo|\u79d2",
    "minute": r"minutes?|min|minuto|\u5206\u949f",
    "hour": r"hours?|h|hr|stunde|heure|hora|\u5c0f\u65f6",
    "day": r"days?|tag|jour|d\u00eda|[\u5929\u65e5]",
    "week": r"weeks?|woche|semaine|semana|\u5468",
    "month": r"months?|monat|mois|mes|\u4e2a?\u6708",
    "quarter": r"quarters?|quartal|trimestre|\u5b63\u5ea6",
    "year": r"years?|annum|jahr|an|ann\u00e9e|a\u00f1o|\u5e74",
}
_ADVERBS = {
    "hour": r"hourly|st\u00fcndlich",
    "day": r"daily|t\u00e4glich|diari[oa]s?",
    "week": r"weekly|w\u00f6chentlich|hebdomadaires?|semanal(?:es)?",
    "month": r"monthly|monatlich|mensuel(?:le)?s?|mensual(?:es|mente)?",
    "quarter": r"quarterly|viertelj\u00e4hrlich|trimestriel(?:le)?s?|trimestral(?:es|mente)?",
    "year": r"yearly|annually|j\u00e4hrlich|annuel(?:le)?s?|anual(?:es|mente)?|p\.\s?a\.",
}
_SPAN = "|".join(f"(?P<{name}>{words})" for name, words in _SPANS.items())
_ADVERB = "|".join(f"(?P<{name}ly>{words})" for name, words in _ADVERBS.items())
_PER = "per|an?|each|every|pro|je|im|am|par|por|al"
_CURRENCY = r"[%\uff05$\u00a2-\u00a5\u20a0-\u20cf]"
# Up to three words of its unit stand between a figure and its rate: "5 working hours a day".
_AFTER = re.compile(
    rf"(?:\s?[^\W\d_]+|\s?{_CURRENCY}){{0,3}}?"
    rf"(?:(?:\s(?:{_PER})\s|\s?/\s?|\u6bcf)(?:{_SPAN})|\s(?:{_ADVERB}))(?![^\W\d_])",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    rf"(?:\u6bcf(?:{_SPAN})|\b(?:{_ADVERB})\s)\s?(?:[A-Z]{{3}}\s|{_CURRENCY}\s?)?$", re.IGNORECASE
)
_REACH = 30
_NO_UNIT = re.compile(rf"{_PER}|{_ADVERB}", re.IGNORECASE)


def rate(text: str, start: int, end: int) -> str:
    """Return the span of time that a figure from `start` to `end` is for, as "month", or "" if none."""
    found = _AFTER.match(text, end) or _BEFORE.search(text, max(0, start - _REACH), start)
    return (found.lastgroup or "").removesuffix("ly") if found else ""


def is_of_rate(word: str) -> bool:
    """Return whether a word beside a figure is of its rate, and so no unit."""
    return _NO_UNIT.fullmatch(word) is not None
