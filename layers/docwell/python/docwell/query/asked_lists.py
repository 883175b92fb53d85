"""Read the subject of a question for a list, as "In which reports is the Nile named?", by kinds of words. Pure.

The rules know no language: `question_words.json` has the words of each. They ask for documents ("which reports")
or places ("where"), say how these have the subject ("mention", "about"), or limit nothing ("please"). A word of no
kind is of the subject. A question that fits no rule can still be one for a list: then its meaning decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from docwell.query.question_words import NOUNS, VERBS, Kind, Word, is_short_form, read
from docwell.text.lexicon import UNSPACED

# Two words before the verb can name what has documents: "Which energy companies mention …".
_LONGEST_HEAD = 2
_ASKING = frozenset({Kind.ASK, Kind.ANY})
# Words of asking that are of a subject right beside its words: "annual report", "price list".
_PARTS = frozenset({Kind.DOCUMENTS, Kind.DOCUMENT, Kind.PART})


def asked_list(question: str) -> tuple[tuple[int, int], ...] | None:
    """Return the (start, end) of the subject's phrases if the words of a question ask for a list.

    Words of asking part the phrases. None where no rule fits.
    """
    language, words = read(question)
    words = _with_whole_names(question, words)
    found = (
        _by_verb(words)
        or _by_place(words)
        or _by_head(words)
        or _by_topic(words)
        or _by_subject(question, words, language.verb)
    )
    if not found or not any(map(str.isalpha, question[words[found[0]].start : words[found[-1]].end])):
        return None
    # Only a script without spaces has the subject before the word that asks: others would be of other languages.
    asks = _first(words, _ASKING | {Kind.PLACE})
    if asks is not None and found[0] < asks and not UNSPACED.match(words[found[0]].text):
        return None
    return _phrases(words, found)


def _with_whole_names(question: str, words: list[Word]) -> list[Word]:
    """Return the words with those of asking as unknown that are parts of the subject's name.

    They follow what is asked for, and are right beside an unknown word, or have a capital: "Anything Goes", "IT".
    """
    link = next((found for kinds in (VERBS, {Kind.ABOUT}) if (found := _first(words, kinds)) is not None), None)
    if link is None:
        return words
    before = next((one for one in (_asked_noun(words), _first(words, {Kind.PLACE})) if one is not None), link)
    numbers = [number for number in range(before + 1, len(words)) if number != link]
    capital = [question[one.start].isupper() for one in words]
    # Neither in a title nor in German does a capital show a name.
    shows = not any(capital[number] and words[number].is_known for number in range(1, link + 1))
    unknown = {
        number
        for number in numbers
        if not words[number].is_known
        or is_short_form(question[words[number].start : words[number].end], question)
        or (shows and capital[number] and not words[number].is_of({Kind.PLAIN}))
    }
    for order, step in ((numbers, 1), (numbers[::-1], -1)):
        for number in order:
            one, other = sorted((number, number - step))
            is_beside = number - step in unknown and question[words[one].end : words[other].start] == " "
            if is_beside and words[number].is_of(_PARTS):
                unknown.add(number)
    return [replace(one, kinds=frozenset()) if n in unknown else one for n, one in enumerate(words)]


def _by_verb(words: Sequence[Word]) -> list[int] | None:
    """Read "which reports mention X" and "in which reports is X mentioned"."""
    verb, noun = _first(words, VERBS), _asked_noun(words)
    if verb is None or noun is None:
        return None
    before, after = _modifiers_before(words, noun), _modifiers_after(words, noun, verb)
    subject = [number for number in _unknown(words) if number not in before]
    if any(number > verb for number in subject):
        subject = [number for number in subject if number not in after]
    asking = _asking(words, noun)
    if any(asking < number < min(noun, verb) for number in subject):  # "the steps that the report mentions"
        return None
    after_verb = words[verb + 1 : subject[0]] if subject else ()
    if noun == 0 and any(one.is_of({Kind.ASK}) for one in after_verb):  # "reports mention which countries"
        return None
    if after_verb and after_verb[0].is_of({Kind.ABOUT}):  # "what does the report mention about X"
        return None
    if not subject and noun < verb and words[verb].is_of({Kind.MENTION}):  # "which reports mention contracts"
        subject = [number for number, one in enumerate(words) if number > verb and one.is_of(NOUNS)]
        return subject or None
    return _on_one_side(words, subject, verb, noun)


def _by_place(words: Sequence[Word]) -> list[int] | None:
    """Read "where is X mentioned", "does X appear anywhere"; "where does it occur" can be about the world."""
    is_of_text = _first(words, {Kind.TEXT}) is not None
    verb = _first(words, VERBS if is_of_text else {Kind.MENTION})
    if (
        verb is None
        or not (is_of_text or _first(words, {Kind.PLACE}) is not None)
        or _asked_noun(words) is not None
    ):
        return None
    return _on_one_side(words, _unknown(words), verb, verb)


def _by_head(words: Sequence[Word]) -> list[int] | None:
    """Read "which companies mention X", where the noun of what has documents is right before the verb."""
    verb = _first(words, {Kind.MENTION})
    if verb is None or any(one.is_of(NOUNS) for one in words):
        return None
    first = verb
    while first and not words[first - 1].is_known:
        first -= 1
    asked = first
    while asked and words[asked - 1].kinds == {Kind.PLAIN}:
        asked -= 1
    subject = [number for number in _unknown(words) if not first <= number < verb]
    if not (1 <= verb - first <= _LONGEST_HEAD and asked and words[asked - 1].is_of({Kind.ASK})):
        return None
    return _on_one_side(words, subject, verb, verb) if subject and subject[0] > verb else None


def _by_topic(words: Sequence[Word]) -> list[int] | None:
    """Read "papers on X", "is there anything about X"."""
    noun = _asked_noun(words)
    if noun is None or _first(words, VERBS) is not None:
        return None
    asking = _asking(words, noun)
    topic = next((number for number in range(asking + 1, len(words)) if words[number].is_of({Kind.ABOUT})), None)
    if topic is None:
        return None
    is_beside = noun - asking <= 1 and not words[noun].is_of({Kind.ANY})  # not "what does the report say about"
    after = _modifiers_after(words, noun, topic) if is_beside else []
    modifiers = {*_modifiers_before(words, noun), *after}
    subject = [number for number in _unknown(words) if number not in modifiers]
    return _on_one_side(words, subject, topic, topic) if subject and subject[0] > topic else None


def _by_subject(question: str, words: Sequence[Word], ending: str | None) -> list[int] | None:
    """Read "which papers use X" and "papers that use X", with any verb of this ending, where X is a name.

    With another X the documents can be those of the world: "Which documents prove identity?". A capital shows a
    name, and that a word is no verb. Where the subject of a question can also be behind the verb, an article there
    is of a subject.
    """
    noun = _asked_noun(words)
    if (
        ending is None
        or noun is None
        or not words[noun].is_of({Kind.DOCUMENTS})
        or _first(words, VERBS) is not None
    ):
        return None
    verb = noun + 1
    if words[verb : verb + 1] and words[verb].is_of({Kind.RELATIVE}):
        verb += 1
    modifiers = _modifiers_before(words, noun)
    subject = [number for number in _unknown(words) if number not in {*modifiers, verb}]
    if not subject or subject[0] < verb or (ending and subject[0] > verb + 1):
        return None
    could_be_verb = not words[verb].is_known or words[verb].is_of({Kind.DOCUMENT})  # "report"
    is_verb = could_be_verb and words[verb].text.endswith(ending) and not question[words[verb].start].isupper()
    if not any(map(str.isupper, question[words[subject[0]].start : words[subject[-1]].end])):
        return None
    return _on_one_side(words, subject, verb, verb) if is_verb else None


def _asking(words: Sequence[Word], noun: int) -> int:
    """Return the place of the last word that asks, up to the noun."""
    return next((number for number in range(noun, -1, -1) if words[number].is_of(_ASKING)), 0)


def _asked_noun(words: Sequence[Word]) -> int | None:
    """Return the place of the noun for what is asked for: behind a word that asks, or the first word of all."""
    asked = False
    for number, one in enumerate(words):
        if one.is_of(NOUNS) and (asked or number == 0 or one.is_of({Kind.ANY})):
            return number
        asked = asked or one.is_of(_ASKING)
    return None


def _modifiers_before(words: Sequence[Word], noun: int) -> list[int]:
    first = noun
    while first and not words[first - 1].is_known and noun - first < _LONGEST_HEAD:
        first -= 1
    is_asked = first and words[first - 1].is_known
    return [*range(first, noun)] if is_asked else []


def _modifiers_after(words: Sequence[Word], noun: int, verb: int) -> list[int]:
    between = range(noun + 1, verb)
    if len(between) > _LONGEST_HEAD or any(words[number].is_known for number in between):
        return []
    return [*between]


def _on_one_side(words: Sequence[Word], subject: Sequence[int], verb: int, noun: int) -> list[int] | None:
    """Return the subject if it is a whole, on one side of the verb; with nouns for documents before it.

    So "contracts with Acme" is one.
    """
    if not subject or subject[0] < verb < subject[-1]:
        return None
    first, last = subject[0], subject[-1]
    inside = words[first : last + 1]
    if any(one.is_of({Kind.ASK, Kind.MENTION}) and not one.is_of({Kind.PLAIN}) for one in inside):
        return None
    anchor = verb if first > verb else noun
    nouns = [number for number in range(anchor + 1, first) if words[number].is_of(NOUNS - {Kind.ANY})]
    return [*range(nouns[0] if nouns and anchor < first else first, last + 1)]


def _unknown(words: Sequence[Word]) -> list[int]:
    return [number for number, one in enumerate(words) if not one.is_known]


def _first(words: Sequence[Word], kinds: Iterable[Kind]) -> int | None:
    return next((number for number, one in enumerate(words) if one.is_of(kinds)), None)


def _phrases(words: Sequence[Word], found: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return the runs of words that are of no kind or for documents."""
    spans: list[tuple[int, int]] = []
    open_ = False
    for number in found:
        one = words[number]
        if one.is_known and not one.is_of(NOUNS):
            open_ = False
        elif open_:
            spans[-1] = (spans[-1][0], one.end)
        else:
            spans.append((one.start, one.end))
            open_ = True
    return tuple(spans)
