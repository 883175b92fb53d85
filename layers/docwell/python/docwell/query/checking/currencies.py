"""Whether a text speaks of the currency that an answer gives an amount. Pure."""

from __future__ import annotations

import re

# The words, codes and signs of each currency in English, German, French, Spanish and Chinese. Pounds weigh, too.
_CURRENCIES = tuple(
    re.compile(forms, re.IGNORECASE)
    for forms in (
        r"\$|\b(?:dollar[ns]?|d\u00f3lar(?:es)?|usd|cad|aud|nzd|hkd|sgd)\b|\u7f8e\u5143",
        r"\u20ac|\b(?:euros?|eur)\b|\u6b27\u5143",
        r"\u00a3|\b(?:pounds?|sterling|gbp|lbs?|pfund|livres?|libras?)\b|\u82f1\u9551|\u78c5",
        r"\b(?:francs?|franken|rappen|francos?|chf|s?fr)\b|\u6cd5\u90ce",
        r"\u00a5|\uffe5|\b(?:yen|jpy|yenes)\b|\u65e5\u5143|\u5186",
        r"\u00a5|\uffe5|\b(?:yuan|renminbi|rmb|cny)\b|\u5143|\u4eba\u6c11\u5e01",
        r"\u20b9|\b(?:rupees?|rupien|roupies?|rupias?|inr|rs)\b|\u5362\u6bd4",
        r"\b(?:kron(?:a|e|er|or|en)|crowns?|couronnes?|coronas?|k[c\u010d]|kr|sek|nok|dkk|czk)\b|\u514b\u6717",
        r"z\u0142|\b(?:zloty|zlotys|pln)\b",
        r"\$|\b(?:pesos?|mxn|ars|clp|cop)\b",
        r"\u20bd|\b(?:rou?bles?|rubel|rublos?|rub)\b|\u5362\u5e03",
    )
)


def is_made_up(unit: str, text: str) -> bool:
    """Return whether a word or sign is of a currency that a text does not speak of."""
    meant = _meant(unit)
    return bool(meant) and not any(currency.search(text) for currency in meant)


def are_same(one: str, other: str) -> bool:
    """Return whether two words can be of one currency: "kr" and "kronor"."""
    return any(currency.fullmatch(other) for currency in _meant(one))


def _meant(unit: str) -> list[re.Pattern[str]]:
    return [currency for currency in _CURRENCIES if currency.fullmatch(unit)]
