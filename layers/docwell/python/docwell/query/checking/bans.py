"""Find what a text bans, where a question asks for leave: "Smoking is prohibited". Pure.

The words are of English, German, French, Spanish, Italian, Portuguese, Russian, Arabic, Chinese and Japanese.
"""

from __future__ import annotations

import re

from docwell.query.checking.labels import labels

CLAUSE_END = re.compile(r"[,;:.!?\u060c\u061b\u3002\uff0c\uff1b](?:\s|$)")


def _words(spaced: str, unspaced: str) -> re.Pattern[str]:
    """Return a pattern of these words; those of Chinese and Japanese stand anywhere."""
    return re.compile(rf"\b(?:{'|'.join(spaced.split())})\b|{'|'.join(unspaced.split())}", re.IGNORECASE)


_LEAVE = _words(
    r"allow\w* permit\w* erlaub\w* gestattet? zulässig autoris\w+ permi[st]\w* autoriz\w+"
    r" consentit\w* permess\w+"
    r" \u0440\u0430\u0437\u0440\u0435\u0448\w+ (?:\u0627\u0644)?\u0645\u0633\u0645\u0648\u062d\w*"
    r" \u064a\u0633\u0645\u062d \u064a\u062c\u0648\u0632",
    r"\u5141\u8bb8 \u51c6\u8bb8 \u8a31\u53ef \u8a31\u3055",
)
_MAY = _words(
    r"may can could darf dürfen kann können peu[tx] peuvent puis-je puede[ns]? puedo pode[ms]?"
    r" posso posson[oe]? può"
    r" \u043c\u043e\u0436\u043d\u043e \u043c\u043e\u0436\u0435\u0442 \u043c\u043e\u0433\u0443\u0442",
    r"\u53ef\u4ee5 \u80fd \u53ef\u5426 \u3067\u304d \u3066\u3082\u3044\u3044"
    r" \u3066\u3082\u3088\u3044 \u3048\u307e\u3059",
)
_BAN = _words(
    r"prohibit\w* forbid\w* bann?ed disallow\w* verboten\w* verbietet untersag\w+ unzulässig"
    r" interdi\w+ prohib\w+ prohíbe\w* vietat\w+ proibi\w+ proíbe\w* vedad[oa]s?"
    r" \u0437\u0430\u043f\u0440\u0435\w+ \u043d\u0435\u043b\u044c\u0437\u044f"
    r" \u0645\u0645\u0646\u0648\u0639\w* \u0645\u062d\u0638\u0648\u0631\w* \u064a\u0645\u0646\u0639"
    r" \u064a\u062d\u0638\u0631",
    r"\u7981\u6b62 \u4e25\u7981 \u7981\u3058 \u4e0d\u53ef(?!\u4ee5)"
    r" (?<!\u306a\u3051\u308c\u3070\u306a\u308a)\u307e\u305b\u3093 \u3067\u304d\u306a\u3044",
)
# A ban with an exception, or one that is denied, is left to the words of denial.
_EXCEPTION = _words(
    r"except unless without ohne sans sin senza sem other\sthan but\sfor only not nor nicht nur außer sofern sauf"
    r" seulement pas"
    r" salvo excepto sólo solo exceto eccetto tranne non não"
    r" \u043a\u0440\u043e\u043c\u0435 \u0442\u043e\u043b\u044c\u043a\u043e \u043d\u0435"
    r" \u0625\u0644\u0627 \u063a\u064a\u0631 \u0644\u064a\u0633",
    r"\u9664 \u4ec5 \u4ee5\u5916",
)


def is_banned(sentence: str, other: str) -> bool:
    """Return whether a clause with a word of the other text bans what that asks leave for.

    "Is smoking prohibited?" is no matter of leave, nor is a sentence that also gives leave.
    """
    asks_leave = _LEAVE.search(other) or _MAY.search(other)
    if _BAN.search(other) or not asks_leave or _LEAVE.search(sentence):
        return False
    words = labels(other)
    return any(
        _BAN.search(clause) and not _EXCEPTION.search(clause) and not words.isdisjoint(labels(clause))
        for clause in CLAUSE_END.split(sentence)
    )


def without_leave(text: str) -> str:
    """Return a text without words of leave, of which a ban has none."""
    return _MAY.sub(" ", _LEAVE.sub(" ", text))
