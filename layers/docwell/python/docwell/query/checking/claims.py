"""Judge whether a passage says a figure of what a sentence says it of. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from docwell.query.checking.dates import agree, periods
from docwell.query.checking.figures import (
    Figure,
    Mention,
    asked_labels,
    in_sentence,
    labels,
    mentions,
    scale_of,
    shifted,
    weight_of,
    weights_of,
)

# The least share, by rarity, of the question's words that must stand around a figure. Chosen on XQuAD.
LEAST_ASKED = 0.2
# Long questions also name companies and units: this number of words around the figure is enough.
_ENOUGH_WORDS = 3
# The "s" of "the 1970's" is no word.
_GENITIVE = frozenset({"s"})
# 2.3.1 and 1,2,3 are no numbers, and longer figures are no amounts.
_DECIMAL = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?")


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer, and the question: what they say of the figures of the sentence.

    `named` has the words of both, and `asked` those of the question; `weights` are those of the words to look for
    around a figure.
    """

    text: str
    figures: tuple[Mention, ...]
    named: frozenset[str]
    asked: frozenset[str]
    asked_figures: frozenset[str]
    asked_periods: frozenset[str]
    weights: dict[str, float]
    scale: int

    @classmethod
    def of(cls, sentence: str, question: str, passages: Sequence[str]) -> Claim:
        """Return the claim of a sentence without markers."""
        asked, in_question = labels(question), in_sentence(question)
        # Judge equal figures once: a text may repeat one a thousand times.
        figures = {
            (mention.figure, mention.sign, mention.unit, mention.periods): mention
            for mention in in_sentence(sentence)
        }.values()
        # Beside another figure, a year is that figure's period.
        only_dates = all(mention.is_date or mention.is_grammar for mention in figures)
        return cls(
            text=sentence,
            figures=tuple(
                mention
                for mention in figures
                if (only_dates or not mention.is_date)
                and not (mention.is_grammar and asked.isdisjoint(labels(mention.unit)))
            ),
            named=labels(sentence) | asked,
            asked=asked,
            asked_figures=frozenset(form for mention in in_question for form in mention.figure.forms),
            asked_periods=periods(question),
            # A question of two facts has a sentence for each, which need not be about both.
            weights=weights_of(asked & labels(sentence) or asked_labels(question), passages),
            scale=scale_of(sentence),
        )

    def mentions_of(self, figure: Mention, passage: str, *, foreign: bool = False) -> list[Mention]:
        """Return the mentions of a passage that say the figure of what the sentence says it of.

        Of a `foreign` passage, in another language, only value, unit and period count.
        """
        candidates = mentions(passage)
        same = [
            mention
            for mention in candidates
            if self._has_value(figure, mention) and self._has_bound(figure, mention)
        ]
        if not self.asked_figures.isdisjoint(figure.figure.forms) and not figure.is_date:
            return same
        same = [mention for mention in same if self._has_period(figure, mention)]
        if foreign:
            return same
        # Compare with equal rivals once. The 12 of "How many beds has Ward 12?" is no rival.
        rivals = {
            (rival.near, rival.here, rival.in_table or rival.sentence, rival.in_table, rival.is_date): rival
            for rival in candidates
            if not rival.is_grammar
            and (rival.sign or rival.in_table or self.asked_figures.isdisjoint(rival.figure.forms))
        }.values()
        return [
            mention
            for mention in same
            if self._has_unit(figure, mention)
            and self._has_column(mention)
            and not self._has_rival(figure, mention, rivals)
            and self._is_asked(mention)
        ]

    def caption_of(self, figure: Mention, passages: Sequence[str]) -> str:
        """Return the words of a table's caption with a scale of the figure that the sentence leaves out, or ""."""
        matches = [mention for passage in passages for mention in self.mentions_of(figure, passage)]
        captions = {mention.caption for mention in matches}
        has_scale = self.scale > 0 or figure.sign == "%"
        lacking = (
            mention.caption and mention.scale and not figure.figure.plain.isdisjoint(mention.figure.plain)
            for mention in matches
        )
        return captions.pop() if len(captions) == 1 and not has_scale and any(lacking) else ""

    def _has_value(self, figure: Mention, mention: Mention) -> bool:
        """Return whether value, scale and sign agree; a table's scale may be absent."""
        # Cells of tables often lack the sign of their currency.
        if figure.sign and mention.sign not in {"", figure.sign}:
            return False
        scale = self.scale if mention.caption else figure.scale
        if _equal(figure.figure, scale, mention.figure, mention.scale):
            return True
        # A passage from the middle of a long table lacks the caption with the scale.
        open_scale = mention.in_table and not (scale and mention.scale)
        return open_scale and not figure.figure.plain.isdisjoint(mention.figure.plain)

    def _has_bound(self, figure: Mention, mention: Mention) -> bool:
        """Return whether one is not a least and the other a most."""
        return not (figure.bound and mention.bound) or figure.bound == mention.bound

    def _has_period(self, figure: Mention, mention: Mention) -> bool:
        return figure.is_date or agree(figure.periods or self.asked_periods, mention.periods)

    def _has_unit(self, figure: Mention, mention: Mention) -> bool:
        """Return whether the words beside the figure can be those of the mention: not 12 days for $12."""
        unit, of_mention = _word(figure.unit), _word(mention.unit)
        if mention.is_date and not figure.is_date and unit and unit.isdisjoint(of_mention):
            return False
        if unit and of_mention and unit.isdisjoint(of_mention | self.asked) and of_mention.isdisjoint(self.named):
            return False
        # A table of amounts "in thousands" has no number of employees.
        return not mention.caption or unit.isdisjoint(self.asked) or not unit.isdisjoint(mention.here)

    def _has_column(self, mention: Mention) -> bool:
        """Return whether the sentence can be of the mention's column."""
        if not mention.head.isdisjoint(self.named):
            return True
        return all((head - mention.head).isdisjoint(self.named) for head in mention.heads)

    def _has_rival(self, figure: Mention, mention: Mention, rivals: Iterable[Mention]) -> bool:
        """Return whether another figure of the passage fits the words of the sentence better than the mention."""
        has_several = sum(not (other.is_date or other.is_grammar) for other in self.figures) > 1
        # In a sentence with several figures, use only the words of this figure's part, if it has any.
        named = figure.near if has_several and figure.near - _word(figure.unit) - _GENITIVE else self.named
        return any(self._is_rival(rival, mention, _word(figure.unit), named) for rival in rivals)

    def _is_rival(self, rival: Mention, mention: Mention, unit: frozenset[str], named: frozenset[str]) -> bool:
        if rival.in_table != mention.in_table or rival.is_date != mention.is_date:
            return False
        if mention.in_table:
            named = named | unit
            ours, theirs = named & mention.near, named & rival.near
            if ours == theirs:
                return rival.near < mention.near and rival.near <= named
            return len(theirs) > len(ours)
        named = named - (unit & _word(mention.unit)) - _GENITIVE
        beside = rival.sentence == mention.sentence
        ours = named & (mention.near if beside else mention.here)
        theirs = named & (rival.near if beside else rival.here)
        return ours < theirs

    def _is_asked(self, mention: Mention) -> bool:
        """Return whether the mention has enough words of the question or the sentence."""
        if not self.named.isdisjoint(mention.near) and len(self.named & mention.around) >= _ENOUGH_WORDS:
            return True
        return weight_of(self.weights, mention.around) >= LEAST_ASKED


def _word(word: str) -> frozenset[str]:
    """Return a word as labels have it. The month of May is no verb."""
    return labels(word) or (frozenset({word.casefold()}) if word[:1].isupper() else frozenset())


def _equal(figure: Figure, scale: int, other: Figure, other_scale: int) -> bool:
    """Return whether two figures are equal; of two that have scales, the first may be rounded."""
    if not (scale or other_scale):  # most figures of most texts
        return not figure.plain.isdisjoint(other.plain)
    if figure.plain == other.plain and scale and other_scale:
        return scale == other_scale  # 1,234 thousand is not 1.234 million
    exact = {shifted(form, scale) for form in figure.plain}
    if not exact.isdisjoint(shifted(form, other_scale) for form in other.plain):
        return True
    if not (scale and other_scale):
        return False
    values = [Decimal(form).scaleb(other_scale) for form in other.plain if _DECIMAL.fullmatch(form)]
    return any(
        abs(value - Decimal(form).scaleb(scale)) <= Decimal(1).scaleb(scale - len(form.partition(".")[2])) / 2
        for form in figure.plain
        if _DECIMAL.fullmatch(form)
        for value in values
    )
