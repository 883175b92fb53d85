"""Read which kinds of values a question wants listed: "all dates and amounts in the lease". Pure.

It knows the words of English, German, French, Spanish and Chinese, the languages of `modes.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from docwell.media_types import MEDIA_TYPES
from docwell.query.checking.periods import month_of
from docwell.query.document_names import wholly_named
from docwell.query.question_words import read
from docwell.query.subject import quotation
from docwell.query.values import AMOUNTS, DATES, DEADLINES, EMAILS, KINDS, PERCENTAGES, YEARS, ValueKind
from docwell.text.lexicon import UNSPACED, fold, fold_each, stem
from docwell.text.naming import file_words

# Plural and singular names, folded. German "Daten" are data as often as dates.
_MANY = {
    DATES: "dates|datumsangaben|termine|fechas",
    YEARS: "years|jahre|jahreszahlen|annees|anos",
    DEADLINES: "deadlines|time limits|fristen|delais|echeances|plazos|vencimientos",
    AMOUNTS: (
        "amounts(?: of money)?|monetary amounts|sums(?: of money)?|geldbetrage|betrage|geldsummen|summen"
        "|montants|sommes(?: d.argent)?|importes|montos|sumas(?: de dinero)?|cantidades de dinero"
    ),
    PERCENTAGES: "percentages|prozentsatze|prozentzahlen|prozentangaben|pourcentages|porcentajes",
    EMAILS: (
        "e-?mail addresses|e-?mail-?adressen|mailadressen|adresses (?:e-?mail|electroniques)"
        "|direcciones de (?:correo(?: electronico)?|e-?mail)"
    ),
}
_ONE = {
    DATES: "date|datum|termin|fecha",
    YEARS: "year|jahr|jahreszahl|annee|ano",
    DEADLINES: "deadline|time limit|frist|delai|echeance|plazo|vencimiento",
    AMOUNTS: "amount(?: of money)?|sum(?: of money)?|geldbetrag|betrag|summe|montant|somme|importe|monto",
    PERCENTAGES: "percentage|prozentsatz|prozentzahl|prozentangabe|pourcentage|porcentaje",
    EMAILS: "e-?mail address|e-?mail-?adresse|mailadresse|adresse e-?mail|direccion de correo",
}
_CHINESE = {
    DATES: "日期",
    YEARS: "年份",
    DEADLINES: "期限|截止日期",
    AMOUNTS: "金额|款项",
    PERCENTAGES: "百分比",
    EMAILS: "电子邮件地址|电子邮箱|邮箱地址",
}
# Rules find no names: a capital begins a sentence, and every noun in German.
_NAMES = (
    "(?:full )?names|parties|people|persons|compan(?:ies|y names)|organi[sz]ations|firms|places|phone numbers"
    "|addresses|namen|(?:vertrags)?parteien|personen|firmen|unternehmen|organisationen|orte|telefonnummern|adressen"
    "|noms|parties|personnes|entreprises|societes|organisations|lieux|numeros de telephone|adresses"
    "|nombres|partes|personas|empresas|organizaciones|lugares|numeros de telefono|direcciones"
)
_CHINESE_NAMES = "人名|姓名|公司|机构|组织|当事人|地名|电话号码"
_COUNTED = "how many|wie viele|combien de|cuantos|cuantas"
_EACH = "every|each|jede[nrs]?|chaque|cada"
_ALL = (
    "all|which|what|list|name|show|give|find|alle[nrs]?|samtlichen?|welchen?|liste|nenne|zeige|gib|tous|toutes"
    f"|quels|quelles|enumere|montre|donne|todos|todas|que|cuales|lista|enumera|muestra|dame|{_COUNTED}"
)
_BETWEEN = "the|of|me|us|are|all|die|der|mir|uns|sind|alle|les|des|sont|los|las|son|moi|tous|toutes|todos|todas"
_CHINESE_ALL = "所有|全部|哪些|列出|列举|每个"
_AND = r"(?:\s?,\s?|\s(?:and|or|und|oder|sowie|et|ou|y|e|o)\s|\s?[、和与及]\s?)"
_TOKENS = re.compile(rf"{UNSPACED.pattern}|[^\W\d_]+|\d+")
_SAME_LETTERS = 6


class AskedValues(NamedTuple):
    """The kinds of values that a question wants listed, and whether it also wants `names`, which no rule finds.

    `others` are its words that may limit the list, such as "incidents" in "the dates of all incidents".
    """

    kinds: tuple[ValueKind, ...]
    names: bool
    others: tuple[str, ...]

    def beside(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the `others` that are in none of these names of documents, nor a suffix of files."""
        known = {_form(word) for name in (*names, *MEDIA_TYPES) for word in _TOKENS.findall(name)}
        return tuple(word for word in self.others if _form(word) not in known)


def asked_values(question: str) -> AskedValues | None:
    """Return the kinds of which a question wants all values; None where it wants none, or has a quotation.

    A kind with a word before it, as in "all delivery dates", is another subject.
    """
    text = fold_each(question)
    found = None if quotation(question) else _beginning().search(text)
    if found is None:
        return None
    kinds, names, end = dict[ValueKind, None](), False, found.end()
    going_on: re.Match[str] | None = found
    while going_on and (one := _nouns().match(text, going_on.end())):
        kinds |= {kind: None for number, kind in enumerate(KINDS) if one[f"kind{number}"]}
        names, end = names or bool(one["names"]), one.end()
        going_on = _conjunction().match(text, end)
    known = (word for word in read(question)[1] if word.is_known)
    asking = (one for one in known if not (month_of(one.text) and question[one.start].isupper()))  # "May"
    plain = [(found.start(), end), *((word.start, word.end) for word in asking)]
    others = dict.fromkeys(
        word[0]
        for word in _TOKENS.finditer(question)
        if not any(start <= word.start() < stop for start, stop in plain)
    )
    if DEADLINES in kinds:
        kinds.pop(DATES, None)  # these are among them
    return AskedValues(tuple(kinds), names, tuple(others))


def asked_values_alone(question: str, documents: Iterable[str]) -> AskedValues | None:
    """Return the kinds of a question that wants nothing else, of all documents or of those whose names it has."""
    asked = asked_values(question)
    if asked is None:
        return None
    return None if asked.beside(map(file_words, wholly_named(question, documents))) else asked


def _form(word: str) -> str:
    return stem(fold(word))[:_SAME_LETTERS]


@cache
def _beginning() -> re.Pattern[str]:
    """The words before the first kind: "list all the", "every". Years that are counted are a length."""
    many, one = ("|".join(names.values()) for names in (_MANY, _ONE))
    return re.compile(
        rf"\b(?!(?:{_COUNTED})\s(?:{_MANY[YEARS]})\b)(?:{_ALL})\s(?:(?:{_BETWEEN})\s){{0,3}}(?=(?:{many}|{_NAMES})\b)"
        rf"|\b(?:{_EACH})\s(?=(?:{one})\b)"
        rf"|(?:{_CHINESE_ALL})的?(?={'|'.join([*_CHINESE.values(), _CHINESE_NAMES])})"
    )


@cache
def _nouns() -> re.Pattern[str]:
    kinds = (
        rf"(?P<kind{number}>(?:{_MANY[kind]}|{_ONE[kind]})\b|{_CHINESE[kind]})"
        for number, kind in enumerate(KINDS)
    )
    return re.compile(rf"{'|'.join(kinds)}|(?P<names>(?:{_NAMES})\b|{_CHINESE_NAMES})")


@cache
def _conjunction() -> re.Pattern[str]:
    return re.compile(rf"{_AND}(?:(?:{_ALL}|{_BETWEEN}|{_EACH})\s){{0,3}}")
