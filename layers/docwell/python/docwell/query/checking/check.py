"""Check an answer of the model against the passages of its prompt, sentence by sentence."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from itertools import permutations, takewhile

from docwell.answers import Sentence
from docwell.config import MIN_SUPPORT
from docwell.models import Passage
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.dates import MONTHS, agree, located_periods, periods
from docwell.query.checking.figures import (
    SHORT_FORM,
    Figure,
    Mention,
    asked_labels,
    figures,
    in_sentence,
    known_forms,
    labels,
    mentions,
    numbers,
    scale_of,
    shifted,
    weight_of,
    weights_of,
)
from docwell.query.checking.grounding import Evidence, GroundedAnswer, cite, marked, numbered, with_marker
from docwell.query.checking.polarity import QUESTION_ENDS, contradicts, split_reply, verdict
from docwell.text.lexicon import (
    FUNCTION_WORDS,
    MARKER,
    UNSPACED,
    content_words,
    language_of,
    script,
    segments,
    sentences,
    windows,
)
from docwell.text.words import by_language

# Move a marker to the best passage if it holds this much more of the sentence.
_BETTER_BY = 0.1
# The weight of the question's words: they show the source of a sentence less than the words that it adds.
_ASKED_WEIGHT = 0.3
# A piece with this share of the question's words, and this much more than the answer's source, is the better one.
_LEAST_ASKED_ELSEWHERE, _MORE_ASKED_ELSEWHERE = 0.7, 0.2
# The languages whose words for numbers are known.
_NUMBERS_KNOWN = {"en", *by_language("number_abroad")}
_SPACED_MARKER = re.compile(rf"[ \t]*{MARKER.pattern}")
_ITEM = r"(?:[-*\u2022\u2023\u25aa\u2013]|\d{1,2}[.)]|[a-z][.)])[ \t]+\S.*"
# A colon, and the lines of the list after it.
_LIST = re.compile(rf"[:\uff1a][ \t]*(?:\[[\d,; ]+\][ \t]*)*\n\s*{_ITEM}(?:\n\s*{_ITEM})*")
_ITEM_NUMBER = re.compile(r"(^|\n\s*)(\d{1,2})([.)])(?=[ \t])")
_DAY = re.compile(r"\d\.\s*$")
# "1.5", "-5", "500 %", "C#" and currencies.
_LETTERS = re.compile(
    r"[^\W_]+|(?<=\d)[.,](?=\d)|(?<![^\W_])[-\u2212](?=[\d$\u00a2-\u00a5\u20a0-\u20cf])|[%\u2030+#$\u00a2-\u00a5\u20a0-\u20cf]"
)
# After a list, this many more characters show whether another item follows ("12. A").
_UNDECIDED = 8
# The fewest words that an answer adds to its question, and those of a copied piece that is no heading and no cell.
_FEWEST_ADDED, _FEWEST_COPIED = 1, 4
# The least share, by rarity, of the question's words that must be near a figure. Chosen on XQuAD.
LEAST_ASKED = 0.2
# Long questions also name companies and units, so this many words near the figure are enough.
_ENOUGH_WORDS = 3
# The "s" of "the 1970's" is no word.
_GENITIVE = frozenset({"s"})
_WORD = re.compile(r"[^\W_]+")
# A figure can be computed from these many: all pairs are tried.
_MOST_OPERANDS = 6
# 2.3.1 and 1,2,3 are no numbers, and longer figures are no amounts.
_DECIMAL = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?")
# An answer whose markers resolve, and its sentences; None where no passage supports it.
Checked = tuple[GroundedAnswer | None, tuple[Sentence, ...]]
NO_SOURCE: Checked = (None, ())


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer, its question, and the words that both say about the sentence's figures.

    `named` has the words of both, and `asked` those of the question; `weights` are those of the words to look for
    around a figure.
    """

    text: str
    figures: tuple[Mention, ...]
    named: frozenset[str]
    asked: frozenset[str]
    asked_figures: frozenset[str]
    periods: frozenset[str]
    weights: dict[str, float]
    scale: int
    parts: Mapping[str, str]

    @classmethod
    def of(cls, sentence: str, question: str, passages: Mapping[str, str]) -> Claim:
        """Return the claim of a sentence without markers."""
        asked, in_question = labels(question), in_sentence(question)
        asked_figures = frozenset(form for mention in in_question for form in mention.figure.forms)
        # Judge equal figures once: a text may repeat a figure a thousand times.
        figures = dict.fromkeys(in_sentence(sentence))
        # A year beside another figure is that figure's period, but a day that the question lacks is a statement.
        only_dates = all(mention.is_date or mention.is_grammar for mention in figures)
        known = asked_figures | periods(sentence)
        days = {date for date in figures if date.figure.forms.isdisjoint(known) and "M" in "".join(date.periods)}
        # "Two seconds" is a figure where a passage has "five seconds".
        texts = passages.items() if any(mention.is_grammar for mention in figures) else ()
        in_passages = (mention for text, part in texts for mention in mentions(text, part))
        counted = asked.union(*(labels(mention.unit) for mention in in_passages if not mention.is_grammar))
        return cls(
            text=sentence,
            figures=tuple(
                mention
                for mention in figures
                if only_dates or not mention.is_date or mention in days
                if not (mention.is_grammar and counted.isdisjoint(labels(mention.unit)))
            ),
            named=labels(sentence).union(asked, *(numbers(mention.figure) for mention in in_question)),
            asked=asked,
            asked_figures=asked_figures,
            periods=periods(sentence) or periods(question),
            # Use the words of the sentence: a question for two facts has a sentence for each.
            weights=weights_of(asked & labels(sentence) or asked_labels(question), [*passages]),
            scale=scale_of(sentence) if figures else 0,
            parts=passages,
        )

    def mentions_of(self, figure: Mention, passage: str, *, foreign: bool = False) -> list[Mention]:
        """Return the mentions in a passage that state the figure about the same thing as the sentence.

        For a `foreign` passage, in another language, compare only value, sign, period and neighbours.
        """
        candidates = mentions(passage, self.parts[passage])
        same = [
            mention
            for mention in candidates
            if mention.is_date <= figure.is_date
            and self._has_value(figure, mention)
            and self._has_bound(figure, mention)
        ]
        if not self.asked_figures.isdisjoint(figure.figure.forms) and not figure.is_date:
            return same
        same = [mention for mention in same if self._has_period(figure, mention)]
        if foreign:
            return [mention for mention in same if self._is_nearest(figure, mention, candidates)]
        # Compare with equal rivals once. In "How many beds has Ward 12?", 12 is no rival.
        rivals = {
            (rival.near, rival.in_table, rival.is_date): rival
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
        """Return the words of a table's caption with a scale of the figure that the sentence omits, or ""."""
        matches = [mention for passage in passages for mention in self.mentions_of(figure, passage)]
        captions = {mention.caption for mention in matches}
        has_scale = self.scale > 0 or figure.sign == "%"
        lacking = (row.scale and not figure.figure.plain.isdisjoint(row.figure.plain) for row in matches)
        return captions.pop() if len(captions) == 1 and not has_scale and any(lacking) else ""

    def _has_value(self, figure: Mention, mention: Mention) -> bool:
        """Return whether value, scale and sign agree; a table's scale may be absent."""
        # Accept a missing sign: cells of tables often lack the sign of their currency.
        if figure.sign and mention.sign not in {"", figure.sign}:
            return False
        scale = self.scale if mention.caption else figure.scale
        # A passage from the middle of a long table lacks the caption with the scale.
        open_scale = mention.in_table and not (scale and mention.scale)
        is_written = open_scale and not figure.figure.plain.isdisjoint(mention.figure.plain)
        return is_written or _equal(figure.figure, scale, mention.figure, mention.scale)

    def _has_bound(self, figure: Mention, mention: Mention) -> bool:
        """Return whether the bounds agree: not a least on one side and a most on the other."""
        return not (figure.bound and mention.bound) or figure.bound == mention.bound

    def _has_period(self, figure: Mention, mention: Mention) -> bool:
        return (figure.is_date and not mention.is_date) or agree(figure.periods or self.periods, mention.periods)

    def _has_unit(self, figure: Mention, mention: Mention) -> bool:
        """Return whether the words beside the figure can be those of the mention: $12 is not 12 days."""
        unit, of_mention = _word(figure.unit), _word(mention.unit)
        if unit and of_mention and unit.isdisjoint(of_mention | self.asked) and of_mention.isdisjoint(self.named):
            return False
        # The numbers in a table of amounts "in thousands" are not numbers of employees.
        return not mention.caption or unit.isdisjoint(self.asked) or not unit.isdisjoint(mention.here)

    def _has_column(self, mention: Mention) -> bool:
        """Return whether no other column's head has the mention's words of the sentence and more."""
        return not any(self.named & mention.head < self.named & head for head in mention.heads)

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
            # The words of a caption, such as "Net sales by region", tell no row from another.
            return len(theirs) > len(ours) and not (ours - theirs and theirs <= ours | mention.here)
        of_mention, of_rival = labels(mention.unit), labels(rival.unit)
        if unit and unit == of_rival and of_mention and of_mention.isdisjoint(named | unit):
            return True
        if unit and unit == of_mention and not of_rival and not mention.is_date:
            return False
        # Months tell the dates of a sentence apart: "from 12 June to 20 September".
        is_stated = mention.is_date and any(row.is_date and row.periods == rival.periods for row in self.figures)
        named -= _GENITIVE if is_stated else _GENITIVE | (unit & of_mention)
        return named & mention.near < named & rival.near

    def _is_nearest(self, figure: Mention, mention: Mention, candidates: Iterable[Mention]) -> bool:
        """Return whether no sentence of a passage has more of the other figures and names than the mention's."""
        others = [numbers(row.figure) for row in self.figures if row.figure != figure.figure]
        named, shared = labels(self.text).union(*others), dict[frozenset[str], frozenset[str]]()
        for row in candidates:
            shared[row.here] = named & (shared.get(row.here, row.here) | numbers(row.figure))
        return len(shared[mention.here]) == max(map(len, shared.values()))

    def _is_asked(self, mention: Mention) -> bool:
        """Return whether the mention has enough words of the question or the sentence."""
        is_named = not self.named.isdisjoint(mention.near) and len(self.named & mention.here) >= _ENOUGH_WORDS
        return is_named or weight_of(self.weights, mention.here) >= LEAST_ASKED


def _word(word: str) -> frozenset[str]:
    """Return a word in the form of `labels`. The month of May is no verb."""
    return labels(word) or (frozenset({word.casefold()}) if word[:1].isupper() else frozenset())


def _equal(figure: Figure, scale: int, other: Figure, other_scale: int) -> bool:
    """Return whether two figures are equal; if both have scales, the first may be rounded."""
    if figure.plain == other.plain and scale and other_scale:
        return scale == other_scale  # 1,234 thousand is not 1.234 million
    exact = {shifted(form, scale) for form in figure.plain}
    if not exact.isdisjoint(shifted(form, other_scale) for form in other.plain):
        return True
    values = [Decimal(form).scaleb(other_scale) for form in other.plain if _DECIMAL.fullmatch(form)]
    return bool(scale and other_scale) and _is_rounded(figure, values, scale)


def _is_rounded(figure: Figure, values: Sequence[Decimal], scale: int = 0) -> bool:
    """Return whether a figure can be one of the values, rounded to its digits."""
    return any(
        abs(value - Decimal(form).scaleb(scale)) <= Decimal(1).scaleb(scale - len(form.partition(".")[2])) / 2
        for form in figure.plain
        if _DECIMAL.fullmatch(form)
        for value in values
    )


def is_computed(mention: Mention, held: Sequence[Figure]) -> bool:
    """Return whether a figure is the share, the change, the sum or the difference of two others, rounded."""
    values = [Decimal(form) for figure in held for form in figure.plain if _DECIMAL.fullmatch(form)]
    pairs = [(left, right) for left, right in permutations(values[:_MOST_OPERANDS], 2) if right]
    results = [left + right for left, right in pairs] + [left - right for left, right in pairs]
    if mention.sign == "%":
        results = [100 * left / right - less for left, right in pairs for less in (0, 100)]
    return not mention.is_date and _is_rounded(mention.figure, [*map(abs, results)])


@dataclass(eq=False)
class Checker:
    """Checks an answer, whole or unfinished: each of its sentences once.

    With `each`, the question is about a whole document, and sentences without a source are removed, because small
    models copy the prompt's examples. While `is_open`, later sentences can change the verdict of the first, which
    does not answer the whole question. `likeness` (0 to 1) compares a sentence with texts in another language, if
    the embedding model can: it shows the topic, not the truth.
    """

    passages: Sequence[Passage]
    question: str
    min_support: float = MIN_SUPPORT
    each: bool = False
    likeness: Callable[[str, Sequence[str]], float] | None = None
    is_open = False

    def __post_init__(self) -> None:
        self._texts = [passage.chunk.text for passage in self.passages]
        parts = [((row.document, row.chunk.heading or row.chunk.text), row.chunk.text) for row in self.passages]
        self._parts = {text: "\n".join(row for of, row in parts if of == part) for part, text in parts}
        self._evidence = Evidence(self.passages, self.question)
        self._lacks_subject = _lacks_names(self.question, self.passages)
        self._checked: dict[str, Sentence] = {}

    @cached_property
    def _forms(self) -> frozenset[str]:
        """The forms of all figures of the passages: a sentence without a figure needs none."""
        return frozenset[str]().union(*map(known_forms, self._texts))

    def check(self, text: str) -> Checked:
        """Return the answer with markers and quotes, and its sentences; None for an answer without a source.

        Links and markup are removed first. `[1]` is the first passage; markers without a passage are removed, and
        one whose passage holds much less of its sentence than another is moved there. A sentence without a marker
        gets its nearest passage, and one that cannot come from the passages loses its markers. A scale that only
        a table's caption states ("in thousands") is added to the figure. Quotes are verbatim.
        """
        # Removing a link can expose a marker without a passage.
        text, _ = clean_answer(text, self._texts)
        count = len(self.passages)
        text = MARKER.sub(lambda match: "".join(f"[{row}]" for row in marked(match[0], count)), unrepeated(text))
        text = re.sub(r"[ \t]+([.,;])", r"\1", re.sub(r"[ \t]{2,}", " ", text)).strip()
        pieces = answer_sentences(text) if self.passages else []
        items = {int(item[2]) for item in _ITEM_NUMBER.finditer("\n".join(pieces))}
        sentences = tuple(self._sentence(piece, items) for piece in pieces)
        is_answer = not periods(self.question) or self._is_of_period(text)
        self.is_open = bool(sentences) and sentences[0].supported and not (is_answer and self._is_asked(sentences))
        if self.is_open:
            sentences = (replace(sentences[0], supported=False), *sentences[1:])
        content: dict[int, frozenset[str]] = {}
        for sentence in sentences:
            for marker in sentence.markers:
                content[marker] = content.get(marker, frozenset()) | content_words(MARKER.sub("", sentence.text))
        if not content:
            return NO_SOURCE
        answer = rejoined(text, pieces, [sentence.text for sentence in sentences])
        if self.each and not all(sentence.markers for sentence in sentences):
            sentences = tuple(sentence for sentence in sentences if sentence.markers)
            answer = " ".join(sentence.text.strip() for sentence in sentences)
        citations = [
            cite(marker, self.passages[marker - 1], *self._evidence.window(named, marker - 1))
            for marker, named in content.items()
        ]
        return numbered(answer, citations, sentences)

    def _sentence(self, sentence: str, items: Collection[int]) -> Sentence:
        """Return a sentence with the markers of its sources and its verdict."""
        if (checked := self._checked.get(sentence)) is None:
            named = marked(sentence, len(self.passages))
            text = self._cleaned(sentence, named) if named else sentence
            claim = Claim.of(claimed(text, items), "" if self.each else self.question, self._parts)
            markers = self._sources(claim, named)
            checked = self._judged(text if set(markers) == set(named) else self._cited(text, markers), claim)
            self._checked[sentence] = checked
        return checked

    def _cited(self, sentence: str, markers: list[int]) -> str:
        """Return a sentence with these markers in place of those that it has."""
        sentence = MARKER.sub("", sentence)
        for marker in markers:
            sentence = with_marker(sentence, marker)
        return self._cleaned(sentence, markers)

    def _sources(self, claim: Claim, named: list[int]) -> list[int]:
        """Return the markers of the sources of a sentence; `named` are those that it has."""
        decided = verdict(claim.text, self.question, self._texts)
        if decided and decided.bare and decided.agrees:
            return [decided.passage + 1]
        if not self._is_possible(claim, named):
            return []
        shares = [self._evidence.share(content_words(claim.text), known) for known in self._evidence.known]
        best = shares.index(max(shares))
        if named:
            is_elsewhere = all(
                shares[best] - shares[marker - 1] > _BETTER_BY
                and (shares[best] == 1.0 or not _is_foreign(claim.text, self._texts[marker - 1]))
                for marker in named
            )
            return [best + 1] if is_elsewhere else named
        held = [sum(bool(claim.mentions_of(row, text)) for row in claim.figures) for text in self._texts]
        return [max(range(len(held)), key=lambda at: (held[at], shares[at])) + 1]

    def _is_of_period(self, text: str) -> bool:
        """Return whether an answer with a figure is of the question's period, if it names one."""
        has_figure = any(not (row.is_date or row.is_grammar) for row in in_sentence(MARKER.sub("", text)))
        return self.each or not has_figure or agree(periods(text), periods(self.question))

    def _is_asked(self, sentences: Sequence[Sentence]) -> bool:
        """Return whether no piece apart from the sources of an answer has far more of the question than both."""
        bare = MARKER.sub("", " ".join(sentence.text for sentence in sentences))
        sources = [(at, content_words(MARKER.sub("", row.text))) for row in sentences for at in row.markers]
        is_foreign = any(_is_foreign(self.question, self._texts[marker - 1]) for marker, _ in sources)
        if self.each or is_foreign or split_reply(bare)[0] is not None:
            return True
        weights, shown = weights_of(asked_labels(self.question), self._texts), labels(bare)
        pieces = {text: [*windows(text)] for text in self._texts}
        for marker, content in sources:
            text, (start, end) = self._texts[marker - 1], self._evidence.window(content, marker - 1)
            shown |= labels(f"{self.passages[marker - 1].document} {text[start:end]}")
            pieces[text] = [place for place in pieces[text] if place[1] <= start or end <= place[0]]
        best = max([weight_of(weights, labels(row[slice(*at)])) for row in pieces for at in pieces[row]] or [0.0])
        return best < _LEAST_ASKED_ELSEWHERE or best - weight_of(weights, shown) < _MORE_ASKED_ELSEWHERE

    def _is_possible(self, claim: Claim, named: Sequence[int]) -> bool:
        """Return whether a sentence says something and has a figure or name of the passages, or neither."""
        if _is_open(claim.text) and not any(is_copied(claim.text, text) for text in self._texts):
            return False
        content = content_words(claim.text)
        if not content or claim.text.rstrip().endswith((":", "\uff1a")):
            return split_reply(claim.text)[0] is not None
        cited = [self._texts[marker - 1] for marker in named] or self._texts
        foreign = [text for text in cited if _is_foreign(claim.text, text, self.question)]
        # A passage in another language may spell a name in other letters, and a number in unknown words.
        is_read = all(language_of(text) in _NUMBERS_KNOWN for text in foreign)
        # An overview's question can name its document in other words than the text.
        of_claim = [name for name in names(claim.text) if not (self.each and name in self.question.casefold())]
        written = figures(claim.text) if is_read else []
        if written or (of_claim and not foreign):
            return (
                any(not self._forms.isdisjoint(figure.forms.union(figure.parts)) for figure in written)
                or any(name in text.casefold() for name in of_claim for text in self._texts)
                or any(claim.mentions_of(figure, text) for figure in claim.figures for text in self._texts)
            )
        # Small models copy the examples of an overview's prompt.
        is_related = bool(foreign) or not content.isdisjoint(frozenset[str]().union(*self._evidence.known))
        return is_related or not self.each

    def _cleaned(self, sentence: str, markers: Sequence[int]) -> str:
        """Return a sentence without addresses that its cited passages lack, or markers that this exposes."""
        cleaned, _ = clean_answer(sentence, [self._texts[marker - 1] for marker in markers])
        valid = {str(marker) for marker in markers}
        while (
            bare := _SPACED_MARKER.sub(lambda match: match[0] if match[1] in valid else "", cleaned)
        ) != cleaned:
            cleaned = bare
        return cleaned

    def _judged(self, sentence: str, claim: Claim) -> Sentence:
        """Return a sentence with its verdict by the passages that it cites."""
        markers = tuple(marked(sentence, len(self.passages)))
        texts = [self._texts[marker - 1] for marker in markers]
        foreign = [text for text in texts if _is_foreign(claim.text, text, self.question)]
        is_read = all(language_of(text) in _NUMBERS_KNOWN for text in foreign)
        read = [row for row in claim.figures if is_read or row.figure.written[0].isdecimal()]
        held = [
            row.figure
            for row in read
            if any(claim.mentions_of(row, text, foreign=text in foreign) for text in texts)
        ]
        computed = [row.figure for row in read if row.figure not in held and is_computed(row, held)]
        held += computed
        support = self._lexical(claim.text, markers, held)
        decided = verdict(claim.text, self.question, texts)
        if foreign:
            stated = [row.figure in held for row in read if claim.asked_figures.isdisjoint(row.figure.forms)]
            # Where nothing can be compared, support is just enough, except for a yes or no. Demo models need more.
            least = 0.0 if decided or len(foreign) < len(texts) else MIN_SUPPORT
            support = max(support, self._support_abroad(claim.text, foreign, stated, least))
        denied = not decided.agrees if decided else contradicts(claim.text, texts)
        # No passage has these figures in any form; those in two parts ("1 000") count as their parts too.
        missing = dict.fromkeys(
            figure.written
            for figure in figures(claim.text)
            if self._forms.isdisjoint(figure.forms)
            and (is_read or figure.written[0].isdecimal())
            and figure not in computed
            and not (self._forms.issuperset(figure.parts) if figure.parts else figure in held)
        )
        copied = any(is_copied(claim.text, text) for text in texts)
        if copied:
            support, denied, agrees = 1.0, False, True
        elif decided and decided.bare:
            support, agrees = decided.share, decided.agrees
        else:
            agrees = len(held) == len(read) and not denied
        added = content_words(claim.text) - content_words(self.question)
        fits = copied or len(added) >= _FEWEST_ADDED or split_reply(claim.text)[0] is not None
        supported = support >= self.min_support and agrees and not missing and fits and not self._lacks_subject
        # A sentence with few of the words decides nothing.
        contradicted = denied and not (decided and decided.share < self.min_support)
        text = _scaled(sentence, claim, texts) if claim.figures else sentence
        return Sentence(text, markers, round(support, 3), supported, tuple(missing), contradicted)

    def _support_abroad(self, bare: str, foreign: Sequence[str], stated: Sequence[bool], least: float) -> float:
        """Return the support by passages in another language: by figures, or else by names or by meaning.

        Where nothing can be compared, it is at least `least`.
        """
        shown = stated or [any(name in text.casefold() for text in foreign) for name in names(bare)]
        support = sum(shown) / (len(shown) or 1)
        if self.likeness and not stated:
            pieces = [" ".join(text[start:end].split()) for text in foreign for start, end in windows(text)]
            return max(support, self.likeness(bare.strip(), pieces))
        can_compare = stated or (shown and script(bare) in map(script, foreign))
        return support if can_compare else max(support, least)

    def _lexical(self, bare: str, markers: Sequence[int], held: Sequence[Figure]) -> float:
        """Return the share of a sentence's words, by rarity, that its cited passages hold."""
        evidence, asked = self._evidence, content_words(self.question)
        content = content_words(split_reply(bare)[1] or bare)
        # Also count a figure that a passage has in another form.
        written = " ".join(figure.written.casefold() for figure in held)
        known = content_words(written).union(*(evidence.known[marker - 1] for marker in markers))
        total, share = (
            evidence.weight(part - asked) + _ASKED_WEIGHT * evidence.weight(part & asked)
            for part in (content, content & known)
        )
        return share / total if total else 0.0


def _scaled(sentence: str, claim: Claim, texts: Sequence[str]) -> str:
    """Return a sentence with the scale of the table's caption after the last figure that lacks it."""
    for figure in reversed(claim.figures):
        written = re.compile(rf"(?<![\w.,\[]){re.escape(figure.figure.written)}(?![\w]|[.,]\d)")
        ends = [match.end() for match in written.finditer(sentence)]
        if ends and (caption := claim.caption_of(figure, texts)):
            return f"{sentence[: ends[-1]]} ({caption}){sentence[ends[-1] :]}"
    return sentence


def names(text: str) -> list[str]:
    """Return the names of a text, each by its last word in lower case: runs of capitals after the first word.

    Languages that write all nouns with capitals have more of them.
    """
    capitals = [
        match
        for match in [*_WORD.finditer(text)][1:]
        if match[0][0].isupper() and len(match[0]) > 1 and match[0].lower() not in FUNCTION_WORDS
    ]
    starts = {match.start() for match in capitals}
    return [match[0].casefold() for match in capitals if match.end() + 1 not in starts]


def _lacks_names(question: str, passages: Sequence[Passage]) -> bool:
    """Return whether no passage or its document has a name of an English question, which has some."""
    asked = {*names(SHORT_FORM.sub("", question))} - MONTHS.keys() if language_of(question) == "en" else set()
    places = [f"{row.document} {row.chunk.heading} {row.chunk.text}".casefold() for row in passages]
    if any(name in place for name in asked for place in places):
        return False
    return bool(asked) and not any(_is_foreign(question, row.chunk.text) for row in passages)


def _is_foreign(sentence: str, passage: str, question: str = "") -> bool:
    """Return whether a sentence is in another script or language than a passage.

    A short sentence that shows no language is in that of its question.
    """
    if not language_of(sentence) and script(sentence) == script(question):
        sentence = question
    scripts, languages = ({kind(sentence), kind(passage)} - {""} for kind in (script, language_of))
    if len(scripts) > 1:
        return not (UNSPACED.search(sentence) and UNSPACED.search(passage))
    return len(languages) > 1


def answer_sentences(text: str) -> list[str]:
    """Return the sentences of an answer; a list belongs to the sentence that introduces it with a colon."""
    pieces, position = list[str](), 0
    for items in _LIST.finditer(text):
        *before, first = sentences(text[position : items.start() + 1]) or [""]
        pieces += [*before, f"{first}{text[items.start() + 1 : items.end()].rstrip()}"]
        position = items.end()
    return [*pieces, *sentences(text[position:])]


def _is_open(text: str) -> bool:
    """Return whether a text has brackets that are not closed. An interval such as "[0, 5)" is closed."""
    return sum(map(text.count, "([")) > sum(map(text.count, ")]"))


def finished_part(begun: str) -> str:
    """Return the beginning of an unfinished answer whose sentences no later text can change.

    The next sentence must have begun: its first character shows that the marker, the list or the sentence has
    ended. After "3." its first word shows whether that is a date.
    """
    *pieces, last = answer_sentences(begun) or [""]
    if last.startswith("[") or (pieces and last.isalpha() and _DAY.search(pieces[-1])):
        pieces = pieces[:-1]
    pieces = list(takewhile(lambda piece: not _is_open(piece), pieces))
    if pieces and pieces[0].startswith("1. ") and not any(piece.startswith("2. ") for piece in pieces):
        return ""  # the next number shows whether the first is an ordinal
    while pieces and (
        pieces[-1].rstrip().endswith((":", "\uff1a")) or (_LIST.search(pieces[-1]) and len(last) < _UNDECIDED)
    ):
        pieces = pieces[:-1]
    end = 0
    for piece in pieces:
        end = begun.index(piece, end) + len(piece)
    return begun[:end]


def claimed(sentence: str, items: Collection[int]) -> str:
    """Return a sentence without its markers and the numbers of an answer's `items`, which claim nothing."""
    bare = _LIST.sub(lambda listed: _ITEM_NUMBER.sub(r"\1", listed[0]), MARKER.sub("", sentence))
    number = _ITEM_NUMBER.match(bare)
    if number and (number[3] == ")" or (int(number[2]) - 1 or 2) in items):  # else an ordinal: "2. Weltkrieg"
        return bare if any(period.start == 0 for period in located_periods(bare)) else bare[number.end() :]
    return bare


def rejoined(text: str, pieces: Sequence[str], changed: Sequence[str]) -> str:
    """Return the changed pieces of a text with its line breaks, and one blank between other pieces."""
    joined, position = "", 0
    for before, after in zip(pieces, changed, strict=True):
        start = text.index(before, position)
        gap = text[position:start]
        joined += ("\n" * min(gap.count("\n"), 2) or " ") * bool(position) + after
        position = start + len(before)
    return joined


def unrepeated(text: str) -> str:
    """Return a text without repeated sentences: a small model can repeat itself to the end."""
    pieces = answer_sentences(text)
    letters = [_letters(MARKER.sub("", piece)) for piece in pieces]
    distinct = [piece if letters.index(letters[place]) == place else "" for place, piece in enumerate(pieces)]
    if all(distinct):
        return text
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]{2,}", " ", rejoined(text, pieces, distinct))).strip()


def is_copied(bare: str, text: str) -> bool:
    """Return whether a text has a statement with exactly these words, figures and signs."""
    letters = _letters(bare)
    return (
        not bare.rstrip().endswith(QUESTION_ENDS)
        and len(bare.split()) >= _FEWEST_COPIED
        and any(letters == _letters(text[start:end]) for start, end in segments(text, len(text)))
    )


def _letters(text: str) -> str:
    """Return the letters, the digits and the signs that change a figure."""
    return "".join(_LETTERS.findall(unicodedata.normalize("NFKC", text).casefold()))
