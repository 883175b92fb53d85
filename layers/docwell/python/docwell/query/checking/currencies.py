"""Read the currency of an amount from a word or a code: EUR 5, 5 euros and €5 are equal. Pure."""

from __future__ import annotations

import re

from docwell.query.checking.labels import labels

# The words of currencies by their sign, or a short form that stands for one. "Pounds" alone weigh as often as they
# cost.
_WORDS = {
    "\u20ac": r"euros?|eur|欧元",
    "$": r"(?:us[\s-]?)?dollar(?:s|n|es)?|usd|dólar(?:es)?|美元",
    "\u00a3": r"gbp|pounds? sterling|pfund sterling|livres? sterling|libras? esterlinas?|英镑",
    "\u00a5": r"jpy|yen|日元|cny|rmb|yuan|renminbi|人民币|元",
    "\u20b9": r"inr|rupees?|rupien|roupies?|rupias?|卢比",
    "CHF": r"chf|(?:swiss )?francs?|franken|francos?|法郎",
    "kr": r"kr|kron(?:a|e|er|or|en)|crowns?|couronnes?|coronas?|克朗",
    "z\u0142": r"zł|z[łl]ot(?:y|ys)|pln",
    "\u20bd": r"rou?bles?|rubel|rublos?|卢布",
}
# What else can mean them in a document.
_ALSO = {
    "$": r"|\uff04|cad|aud|nzd|hkd|sgd|pesos?|mxn",
    "\u00a3": r"|\uffe1|pounds?|pfund|lbs?",
    "\u00a5": r"|\uffe5|\u5186",
    "CHF": r"|s?fr\.",
    "kr": r"|sek|nok|dkk|czk|kč",
}
_SIGNS = [*_WORDS]
_ANY = "|".join(f"({words})" for words in _WORDS.values())
_AFTER = re.compile(rf"\s?(?:d['\u2019]|de\s)?(?:{_ANY})(?![a-z])", re.IGNORECASE)
_BEFORE = re.compile(rf"(?<![^\W_a-z])(?<![a-z])(?:{_ANY})\s?$", re.IGNORECASE)


def _said(sign: str) -> re.Pattern[str]:
    words = rf"(?<![a-z])(?:{_WORDS[sign]}{_ALSO.get(sign, '')})(?![a-z])"
    return re.compile(words if sign.isalpha() else rf"{re.escape(sign)}|{words}", re.IGNORECASE)


_SAID = {sign: _said(sign) for sign in _WORDS}
# As labels have them: two amounts can have one each.
MONEY = labels(
    "euro euros eur usd dollar dollars gbp jpy yen cny rmb yuan inr rupee rupees chf franc francs franken"
    " kr krona krone kronen kroner kronor crown crowns pln"
)
_UNIT = re.compile(rf"(?:{_ANY})(?![a-z])", re.IGNORECASE)
_POUND, _POUNDS = "\u00a3", re.compile(r"pounds?|pfund", re.IGNORECASE)
# No more than "libras esterlinas " before a figure.
_REACH = 20


def currency(text: str, start: int, end: int) -> str:
    """Return the sign of the currency whose word or code is beside a figure from `start` to `end`, or ""."""
    found = _AFTER.match(text, end) or _BEFORE.search(text, max(0, start - _REACH), start)
    return _SIGNS[found.lastindex - 1] if found and found.lastindex else ""


def is_currency(unit: str) -> bool:
    """Return whether the unit of a figure is a currency."""
    return _UNIT.match(unit) is not None


def is_made_up(sign: str, unit: str, text: str) -> bool:
    """Return whether the sign or the unit of a figure is of a currency that a text does not speak of."""
    said = _SAID.get(_POUND if _POUNDS.fullmatch(unit) else sign)
    return said is not None and said.search(text) is None
