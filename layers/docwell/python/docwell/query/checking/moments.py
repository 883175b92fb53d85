"""Judge whether a sentence is of the period that its question names: not 1997 for 1987. Pure.

The period has to be the sentence's, or to stand where the passages say the sentence. What no text dates is open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from docwell.query.checking.asides import without_asides
from docwell.query.checking.labels import labels
from docwell.query.checking.mentions import mentions
from docwell.query.checking.periods import agree, doubtful_years, located_periods, periods, share
from docwell.query.checking.polarity import is_yes_or_no
from docwell.query.checking.sentence_mentions import Mention, stated
from docwell.text.lexicon import content_words, segments, words

# Words that ask for a time, in the languages of `modes.json`: another year can be the answer.
_ASKING = frozenset(
    ["when", "year", "years", "date", "wann", "jahr", "datum", "quand", "année", "cuándo", "año", "fecha"]
)
_ASKING_SIGNS = ("\u4f55\u65f6", "\u4ec0\u4e48\u65f6\u5019", "\u54ea\u5e74", "\u54ea\u4e00\u5e74")
_LAST_WORD = re.compile(r"\w+\s*$")
# A cited sentence has this share of the words of the sentence that it supports, dates aside.
_LEAST_SHARE = 0.5


def is_of_period(sentence: str, question: str, passages: Sequence[str], names: str = "") -> bool:
    """Return whether a sentence without markers, and the passages that it cites, can be of the question's period.

    `names` are those of the documents and sections of the passages, which can date them.
    """
    asked = periods(question)
    if not asked or is_yes_or_no(sentence):  # "No, it was in 1997."
        return True
    main = without_asides(sentence)
    said = periods(main) - doubtful_years(main)
    figures = [one for one in stated(main) if not one.is_grammar]
    if figures and not said:
        return _has_figures(main, question, passages, names)
    if said:
        return agree(asked, said) or _is_dated(main, question, passages, names)
    return _is_undated(main, question, passages, names)


def _is_dated(sentence: str, question: str, passages: Sequence[str], names: str) -> bool:
    """Return whether the passages connect a sentence of another period with the question's."""
    asked, said, own = periods(question), periods(sentence), labels(sentence)
    prose = {one.text for text in passages for one in mentions(text) if not one.in_table}
    if any(
        share(asked, periods(one))
        and share(said, periods(one))
        and len(own & labels(one)) >= _LEAST_SHARE * len(own)
        for one in prose
    ):
        return True
    if asks_for_time(question):
        return any(share(asked, periods(one)) for one in (names, *passages))
    return all(one.is_date for one in stated(sentence)) and share(asked, periods(names))


def asks_for_time(question: str) -> bool:
    """Return whether a question asks for a time: "In which year", but not "in the year 2019"."""
    rest = question
    for one in reversed(located_periods(question)):
        rest = _LAST_WORD.sub("", rest[: one.start]) + rest[one.end :]
    return not _ASKING.isdisjoint(words(rest)) or any(sign in rest for sign in _ASKING_SIGNS)


def _is_undated(sentence: str, question: str, passages: Sequence[str], names: str) -> bool:
    """Return whether the passages give a sentence without a period no other period than the question's."""
    asked, said = periods(question), content_words(sentence) - content_words(question)
    spans = [text[slice(*span)] for text in passages for span in segments(text)]
    own = [one for one in spans if said and said <= content_words(one)]
    if not own or any(agree(asked, periods(one)) for one in own) or share(asked, periods(names)):
        return True
    # "In 1987 the cup was in Kiel. Ada Holt, born in 1950, won it": the sentence with the year is no rival.
    wanted = labels(question)
    dated = [len(wanted & labels(one)) for one in spans if share(asked, periods(one))]
    return bool(dated) and max(dated) < max(len(wanted & labels(one)) for one in own)


def _has_figures(sentence: str, question: str, passages: Sequence[str], names: str) -> bool:
    """Return whether the figures of a sentence without a period can be of the question's.

    They cannot where the passages have them without a period, beside a sentence that dates another such figure:
    "The fee is 84 euros. In 2021 it was 78 euros." The period of a sentence before goes on.
    """
    asked = periods(question)
    known = frozenset(form for one in stated(question) for form in one.figure.forms)
    if share(asked, periods(names)):
        return True
    # A page of zeros takes no time: a figure is judged once, and so are its mentions in one sentence.
    wanted = {
        one.figure.plain
        for one in stated(sentence)
        if not (one.is_grammar or one.is_date) and known.isdisjoint(one.figure.forms)
    }
    texts = [_Text.of(text) for text in passages]
    for figure in wanted:
        found = [
            text.has_alone(one, asked)
            for text in texts
            for one in text.distinct
            if not figure.isdisjoint(one.figure.plain)
        ]
        if found and not any(found):
            return False
    return True


class _Text(NamedTuple):
    """The distinct mentions of a text, the figures of each sentence, and the periods of those that have some."""

    distinct: Sequence[Mention]
    sentences: Mapping[int, Sequence[Mention]]
    dated: Mapping[int, frozenset[str]]

    @classmethod
    def of(cls, text: str) -> Self:
        """Return what a text mentions."""
        distinct = {
            (one.figure.plain, one.sentence, one.in_table, one.sign, one.unit, one.is_date or one.is_grammar): one
            for one in mentions(text)
        }.values()
        prose = [one for one in distinct if not one.in_table]
        sentences: dict[int, list[Mention]] = {}
        for one in prose:
            sentences.setdefault(one.sentence, []).append(one)
        dated = {number: found for number, some in sentences.items() if (found := periods(some[0].text))}
        return cls([*distinct], sentences, dated)

    def has_alone(self, one: Mention, asked: frozenset[str]) -> bool:
        """Return whether no sentence beside that of a figure without a period dates another figure of its unit."""
        if one.in_table or one.sentence in self.dated:
            return True
        before = max((number for number in self.dated if number < one.sentence), default=None)
        if before is not None and share(asked, self.dated[before]):
            return True
        return not any(
            not (other.is_date or other.is_grammar) and _is_alike(one, other)
            for number in (one.sentence - 1, one.sentence + 1)
            if number in self.dated
            for other in self.sentences[number]
        )


def _is_alike(one: Mention, other: Mention) -> bool:
    """Return whether two figures have one currency or unit."""
    if one.sign or other.sign:
        return one.sign == other.sign
    return bool(labels(one.unit)) and labels(one.unit) == labels(other.unit)
