"""Judge whether a passage says a figure of what a sentence says it of. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from docwell.query.checking.bounds import denies
from docwell.query.checking.currencies import MONEY, is_currency, is_made_up
from docwell.query.checking.facts import Figure, shifted
from docwell.query.checking.labels import asked_labels, labels
from docwell.query.checking.mentions import mentions
from docwell.query.checking.numberings import name_before, names
from docwell.query.checking.periods import agree, periods
from docwell.query.checking.sentence_mentions import LABEL, Mention, has_percent, stated
from docwell.query.checking.table_mentions import numbers, scale_of
from docwell.text.lexicon import TEXTS_KEPT, rarity

# What stands around a figure has this share of the question's words, by rarity. Chosen on XQuAD; `make eval-guard`
# counts its errors there and on made-up passages.
LEAST_ASKED = 0.2
# Long questions name companies and ask for units: then so many words around the figure are enough, one of them in
# its own part.
_ENOUGH_WORDS = 3
_LONG_WORD = 6
# A copied figure is of the same thing as its copy, whatever other figures stand beside it.
_COPIED_WORDS = 7
_PUNCTUATION = ".,;:!?()[]\"'"
# What no amount of money counts, as labels have it: English, German, French and Spanish.
_MEASURES = labels(
    "pounds kilograms kilogrammes kg grams tons tonnes metres meters kilometres kilometers km feet inches miles"
    " litres liters gallons degrees seconds minutes hours days weeks months years"
    " Pfund Kilogramm Gramm Tonnen Kilometer Grad Sekunden Minuten Stunden Tage Tagen Wochen Monate Monaten Jahre"
    " livres grammes secondes heures jours semaines mois ans ann\u00e9es degr\u00e9s"
    " libras gramos toneladas metros grados segundos minutos horas d\u00edas semanas meses a\u00f1os"
)
_ASKS_COUNT = re.compile(
    r"\b(?:how many|number of(?! the)|wie ?viele|anzahl|combien|cu[a\u00e1]nt[oa]s)\b"
    r"|\u591a\u5c11|\u51e0[\u4e2a\u540d\u4f4d\u4eba]",
    re.IGNORECASE,
)
_METRES = labels("metre metres meter meters Metern m\u00e8tre m\u00e8tres metro metros")
_POUND, _POUNDS = "\u00a3", labels("pounds Pfund livres libras")
# Words of a loss or a fall: the figure beside them has no minus. Of the same four languages, and Chinese.
_LESS = re.compile(
    r"\b(?:minus|negative|loss(?:es)?|lost|deficit|f[ae]ll(?:s|en)?|drop(?:s|ped)?|decreas\w*|declin\w*|reduc\w*|shr[ua]nk"
    r"|down|below|outflow\w*|verlust\w*|fehlbetrag|r\u00fcckgang|gefallen|fiel|sank|gesunken|verringert\w*|pertes?"
    r"|d\u00e9ficit|baiss\w*|recul\w*|diminu\w*|p\u00e9rdidas?|ca\u00edda|cay\u00f3|descen\w*|disminu\w*|menos|moins)\b"
    r"|\u4e8f\u635f|\u4e0b\u964d|\u51cf\u5c11",
    re.IGNORECASE,
)
# 2.3.1 and 1,2,3 are figures and no numbers. Longer ones are no amounts.
_DECIMAL = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?")


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer, and the question: what they say of the figures of the sentence.

    `weights` are those of the question's words. Of a passage in another language, the words are not compared.
    """

    text: str
    question: str
    figures: tuple[Mention, ...]
    said: frozenset[str]
    asked: frozenset[str]
    asked_figures: frozenset[str]
    asked_periods: frozenset[str]
    asks_count: bool
    weights: dict[str, float]
    scale: int

    @classmethod
    def of(cls, sentence: str, question: str, passages: Sequence[str]) -> Claim:
        """Return the claim of a sentence without markers."""
        asked = labels(question)
        numbered = frozenset[str]().union(*(numbers(one.figure) for one in stated(question)))
        # The same figure twice is judged once: a text of a thousand zeros takes no time.
        found = {
            (one.figure, one.sign, one.unit, one.before, one.periods): one for one in stated(sentence)
        }.values()
        # A year beside another figure is its period.
        alone = all(one.is_date or one.is_grammar for one in found)
        return cls(
            text=sentence,
            question=question,
            figures=tuple(
                one
                for one in found
                if (alone or not one.is_date) and not (one.is_grammar and asked.isdisjoint(labels(one.unit)))
            ),
            said=labels(sentence) | asked | numbered,
            asked=asked,
            asked_figures=frozenset(form for one in stated(question) for form in one.figure.forms),
            asked_periods=periods(question),
            asks_count=_ASKS_COUNT.search(question) is not None,
            # A question of two facts has a sentence for each, which need not be about the other.
            weights=weights_of(asked & labels(sentence) or asked_labels(question), passages),
            scale=scale_of(sentence),
        )

    def held(self, passage: str) -> frozenset[int]:
        """Return which figures (by their position) a passage says of the same thing."""
        return frozenset(number for number, one in enumerate(self.figures) if self.mentions_of(one, passage))

    def lacks_scale(self, figure: Mention, mention: Mention) -> bool:
        """Return whether the caption of the mention gives the figure a scale that the sentence leaves out."""
        in_full = figure.figure.plain.isdisjoint(mention.figure.plain)
        return bool(mention.caption and mention.scale) and not (self.scale or figure.sign == "%" or in_full)

    def mentions_of(
        self, figure: Mention, passage: str, *, foreign: bool = False, asked: bool = True
    ) -> list[Mention]:
        """Return the mentions of a passage that say the figure of what the sentence says it of.

        Of a `foreign` passage only value, unit and period count. Without `asked`, the question's words do not.
        """
        beside = f"{self.question}\n{passage}"
        if not foreign and is_made_up(figure.sign, figure.unit, beside):
            return []
        every = mentions(passage)
        same = [one for one in every if self._is_same(figure, one) and not self._is_miscounted(figure, one)]
        same = self._without_namesakes(same, every)
        if not self.asked_figures.isdisjoint(figure.figure.forms) and not figure.is_date:
            return same
        fitting = [mention for mention in same if self._has_period(figure, mention)]
        if foreign:
            return fitting
        # A page of nothing but ones has few that differ as rivals. In "How many beds has Ward 12?", 12 is none.
        rivals = {
            (one.near, one.here, one.in_table or one.sentence, one.in_table, *_kind(one)): one
            for one in every
            if not one.is_grammar and (one.sign or one.in_table or self.asked_figures.isdisjoint(one.figure.forms))
        }
        of = [mention for mention in fitting if self._is_of(figure, mention, rivals.values())]
        return [mention for mention in of if self._is_asked(mention)] if asked else of

    def _is_same(self, figure: Mention, mention: Mention) -> bool:
        """Return whether value, scale and sign agree; a table's scale may be absent."""
        # Few cells of a table have a currency's sign, but text about percents says so.
        if figure.sign and mention.sign not in {"", figure.sign}:
            return False
        if figure.sign == "%" and not (mention.sign or has_percent(mention.text)):
            return False
        if self._is_otherwise_limited(figure, mention) or self._is_otherwise_signed(figure, mention):
            return False
        if _is_metres(figure, mention) or _is_metres(mention, figure):
            both_scaled = figure.scale and mention.scale  # "20 million metres"
            return not (both_scaled or figure.figure.plain.isdisjoint(mention.figure.plain))
        scale = self.scale if mention.caption else figure.scale
        if _equal(figure.figure, scale, mention.figure, mention.scale):
            return True
        # Of a long table, the passage may lack the caption with the scale.
        open_scale = mention.in_table and not (scale and mention.scale)
        return open_scale and not figure.figure.plain.isdisjoint(mention.figure.plain)

    def _is_miscounted(self, figure: Mention, mention: Mention) -> bool:
        """Return whether the figure is an amount, and the mention none: 12 staff, $12 or a mere 12, for 12 May."""
        if not mention.part_of:
            return False
        is_bare = not labels(self.text)
        unit, other = (self.asked, frozenset[str]()) if is_bare else (_unit(figure), _unit(mention))
        if not unit.isdisjoint(other | labels(mention.part_of)):  # "12 sections" for "Section 12"
            return False
        if figure.sign:
            return True
        is_year = figure.is_date and not (self.asks_count and self.asked_figures.isdisjoint(figure.figure.forms))
        if figure.part_of or is_year:
            return False
        asked = self.asked if mention.is_date else self.asked - _MEASURES  # "at 14 hours" is a time
        return self.asks_count if is_bare else not unit.isdisjoint(asked)

    def _without_namesakes(self, same: list[Mention], every: Sequence[Mention]) -> list[Mention]:
        """Leave out figures of Ward 11, where the question is about Ward 12 and the passage has its figure."""
        asked = set(names(self.question))
        words = {word for word, _ in asked}

        def name(one: Mention) -> tuple[str, str] | None:
            return name_before(one.text, one.figure.written) if asked and not one.in_table else None

        others = [one for one in same if (found := name(one)) and found not in asked and found[0] in words]
        own = {(_unit(one), one.sign) for one in every if name(one) in asked} if others else set()
        return [one for one in same if one not in others or (_unit(one), one.sign) not in own]

    def _is_otherwise_signed(self, figure: Mention, mention: Mention) -> bool:
        """Return whether one is less than nothing, and no word of a loss says so of the other."""
        if mention.negative and not (figure.negative or says_less(self.text)):
            return True
        return figure.negative and not (mention.negative or mention.in_table or says_less(mention.text))

    def _is_otherwise_limited(self, figure: Mention, mention: Mention) -> bool:
        """Return whether one is for another span of time, or one is a least and the other a most.

        With a negation, both can say the same: "up to 3 days need none", "more than 3 days need one".
        """
        if figure.rate and mention.rate and figure.rate != mention.rate:
            return True
        if not (figure.bound and mention.bound) or figure.bound == mention.bound:
            return False
        return not (denies(self.text) or denies(mention.text))

    def _has_period(self, figure: Mention, mention: Mention) -> bool:
        return figure.is_date or agree(figure.periods or self.asked_periods, mention.periods)

    def _is_of(self, figure: Mention, mention: Mention, rivals: Iterable[Mention]) -> bool:
        unit, said = _word(figure.unit), self._said_of(figure)
        return (
            self._has_unit(figure, mention)
            and self._has_column(figure, mention)
            and (
                not any(self._is_rival(other, mention, unit, said) for other in rivals)
                or self._is_copied(figure, mention)
            )
        )

    def _is_copied(self, figure: Mention, mention: Mention) -> bool:
        written = _plain(figure.figure.written.split()[0])
        return not mention.in_table and written in _copied(self.text, mention.text)

    def _has_unit(self, figure: Mention, mention: Mention) -> bool:
        """Return whether the words beside the figure can be those of the mention: not 12 days for $12.

        Nor is "3 de octubre" three months.
        """
        unit, of_mention = _unit(figure), _unit(mention)
        if mention.is_date and not figure.is_date and not unit.isdisjoint(_MEASURES):
            return False
        if mention.sign not in {"", "%"} and not figure.sign and not unit.isdisjoint(_MEASURES):
            return mention.sign == _POUND and not unit.isdisjoint(_POUNDS)
        if unit and of_mention and unit.isdisjoint(of_mention | self.asked) and of_mention.isdisjoint(self.said):
            return False
        named, other = (
            frozenset[str]() if one.sign and is_currency(one.before) else _word(one.before)
            for one in (figure, mention)
        )
        if not named.isdisjoint(other):
            return True
        if not (named and other and figure.before[0].isupper() and mention.before[0].isupper()):
            return True
        return not (named.isdisjoint(mention.here | self.asked) and other.isdisjoint(self.said))

    def _has_column(self, figure: Mention, mention: Mention) -> bool:
        """Return whether the sentence can be of the mention's column, or names the row: "pipe 15 mm".

        Its unit is not that of another column.
        """
        is_name = bool(figure.before) and _beside(figure) == _beside(mention)
        if is_name or mention.column == LABEL:
            return is_name
        unit = _word(figure.unit)
        of_others = any(not unit.isdisjoint(head) for head in mention.heads)
        if of_others and unit.isdisjoint(mention.near | mention.head):
            return False
        if not mention.head.isdisjoint(self.said):
            return True
        return all((head - mention.head).isdisjoint(self.said) for head in mention.heads)

    def _said_of(self, figure: Mention) -> frozenset[str]:
        """Return what is said of a figure: beside another one, its own part of the sentence, if that has words."""
        has_several = sum(not (one.is_date or one.is_grammar) for one in self.figures) > 1
        return figure.near if has_several and figure.near - _word(figure.unit) - MONEY else self.said

    def _is_rival(self, other: Mention, mention: Mention, unit: frozenset[str], said: frozenset[str]) -> bool:
        """Return whether what is `said` of a figure is of another one of the passage rather than of this one."""
        if other.in_table != mention.in_table or other.is_date != mention.is_date:
            return False
        is_other_kind = bool(other.part_of) != bool(mention.part_of) and not mention.is_date
        if is_other_kind or (other.sign and mention.sign and other.sign != mention.sign):
            return False
        if mention.in_table:
            said = self.said | unit
            ours, theirs = said & mention.near, said & other.near
            if ours == theirs:
                return other.near < mention.near and other.near <= said
            return len(theirs) > len(ours)
        said = said - (unit & _word(mention.unit)) - MONEY
        beside = other.sentence == mention.sentence
        ours = said & (mention.near if beside else mention.here)
        theirs = said & (other.near if beside else other.here)
        return ours < theirs

    def _is_asked(self, mention: Mention) -> bool:
        """Return whether the mention has enough words of the question or the sentence, or a head asked for."""
        is_of_column = mention.in_table and bool(self.asked_periods) and self.asked_periods <= mention.periods
        is_of_column = is_of_column or not self.asked.isdisjoint(mention.head)
        if not self.said.isdisjoint(mention.near) and (
            is_of_column or len(self.said & mention.around) >= _ENOUGH_WORDS
        ):
            return True
        whole = math.fsum(self.weights.values())
        held = math.fsum(weight for word, weight in self.weights.items() if word in mention.around)
        return not whole or held / whole >= LEAST_ASKED


@lru_cache(TEXTS_KEPT)
def _copied(sentence: str, text: str) -> frozenset[str]:
    """Return the words of the runs that a sentence copies from a text."""
    known = set(_runs(text))
    return frozenset(word for run in _runs(sentence) if run in known for word in run)


def _runs(text: str) -> list[tuple[str, ...]]:
    words = [_plain(word) for word in text.split()]
    return [tuple(words[start : start + _COPIED_WORDS]) for start in range(len(words) - _COPIED_WORDS + 1)]


def _plain(word: str) -> str:
    return word.casefold().strip(_PUNCTUATION)


def _word(word: str) -> frozenset[str]:
    """Return a word as labels have it. The month of May is no verb."""
    return labels(word) or (frozenset({word.casefold()}) if word[:1].isupper() else frozenset())


def _is_metres(one: Mention, other: Mention) -> bool:
    """Return whether the "m" of "20 m" is of metres, as the unit of the other figure shows."""
    return one.figure.written.endswith("m") and not _METRES.isdisjoint(_word(other.unit))


def _kind(one: Mention) -> tuple[bool, bool, str]:
    """Return whether a mention is of a date, whether it counts something, and its sign."""
    return one.is_date, not one.part_of, one.sign


def _beside(one: Mention) -> tuple[str, str]:
    return one.before.casefold(), one.unit.casefold()


def _unit(one: Mention) -> frozenset[str]:
    """Return the words of a figure's unit: that of a currency is its sign, and metres have several spellings."""
    words = frozenset[str]() if one.sign and is_currency(one.unit) else _word(one.unit)
    return words if _METRES.isdisjoint(words) else _METRES


def weights_of(words: Iterable[str], passages: Sequence[str]) -> dict[str, float]:
    """Return the weights of words: by rarity among the passages, and less for short words."""
    known = [labels(passage) for passage in passages]
    return {word: _weight(word, known) for word in words}


def _weight(word: str, known: Sequence[frozenset[str]]) -> float:
    # Short words are mostly grammar, in every language.
    length = min(len(word), _LONG_WORD) if word.isascii() else _LONG_WORD
    return rarity(sum(word in one for one in known), len(known)) * length


def says_less(text: str) -> bool:
    """Return whether a text has a word of a loss or a fall, of which figures need no minus."""
    return _LESS.search(text) is not None


def _equal(one: Figure, scale: int, other: Figure, other_scale: int) -> bool:
    """Return whether two figures are equal; of two that have scales, the first may be rounded."""
    if not (scale or other_scale):  # most figures of most texts
        return not one.plain.isdisjoint(other.plain)
    if one.plain == other.plain and scale and other_scale:
        return scale == other_scale  # 1,234 thousand is not 1.234 million
    if not {shifted(form, scale) for form in one.plain}.isdisjoint(
        shifted(form, other_scale) for form in other.plain
    ):
        return True
    if not (scale and other_scale):
        return False
    theirs = [Decimal(form).scaleb(other_scale) for form in other.plain if _DECIMAL.fullmatch(form)]
    return any(
        abs(their - Decimal(form).scaleb(scale)) <= Decimal(1).scaleb(scale - len(form.partition(".")[2])) / 2
        for form in one.plain
        if _DECIMAL.fullmatch(form)
        for their in theirs
    )
