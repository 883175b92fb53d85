"""Judge answers of yes and no by the sentence of the passages that decides them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from docwell.query.checking.bans import CLAUSE_END, is_banned, without_leave
from docwell.query.checking.bounds import without_negated_bounds
from docwell.query.checking.claims import weights_of
from docwell.query.checking.facts import figures
from docwell.query.checking.labels import labels
from docwell.text.lexicon import MARKER, UNSPACED, segments, windows

# In English, German, French, Spanish, Italian, Portuguese, Russian, Arabic, Chinese and Japanese.
_YES_WORDS = (
    "yes ja oui si s\u00ed s\u00ec sim \u0434\u0430 \u0646\u0639\u0645 \u0623\u062c\u0644"
    " \u662f \u662f\u7684 \u53ef\u4ee5 \u5bf9 \u6709 \u306f\u3044"
)
_NO_WORDS = (
    "no nein non n\u00e3o nao \u043d\u0435\u0442 \u0644\u0627 \u0643\u0644\u0627"
    " \u4e0d \u4e0d\u662f \u4e0d\u53ef\u4ee5 \u5426 \u6ca1\u6709 \u3044\u3044\u3048"
)
_SAID = dict.fromkeys(_YES_WORDS.split(), True) | dict.fromkeys(_NO_WORDS.split(), False)
# They deny the verb. "Isn't it open?" asks the same as "Is it open?".
_DENIAL_WORDS = (
    "not cannot nicht ne pas non n\u00e3o nao \u043d\u0435 \u4e0d"
    " \u0644\u0627 \u0644\u064a\u0633 \u0644\u064a\u0633\u062a \u0644\u0645 \u0644\u0646 \u063a\u064a\u0631"
)
_DENIALS = frozenset(_DENIAL_WORDS.split())
_OTHER_NEGATIONS = """
    no never none nor neither nobody nothing without kein keine keinem keinen keiner keines nie niemals niemand
    nichts ohne weder jamais aucun aucune rien sans ni sin nunca ning\u00fan ninguna senza nessun nessuna
    nenhum nenhuma nem
    \u043d\u0438 \u043d\u0435\u0442 \u043d\u0438\u043a\u043e\u0433\u0434\u0430 \u0431\u0435\u0437
    \u6ca1 \u672a \u65e0 \u975e \u52ff \u5426
"""
_NEGATIONS = _DENIALS | frozenset(_OTHER_NEGATIONS.split())
_UNSPACED_NEGATIONS = "".join(word for word in _NEGATIONS if UNSPACED.match(word))
_DENIAL = re.compile(rf"n['\u2019]t?|{'|'.join(_DENIALS)}", re.IGNORECASE)
# "n't" and "n'est". "Form No. 5", "non-refundable" and "not only" deny nothing.
_SHORT_DENIAL = r"n['\u2019]t\b|\bn['\u2019](?=\w)"
_NO_DENIAL = r"(?!-|\.?\s*\d|\s+(?:only|just|merely|nur|seulement|s[o\u00f3]lo|else)\b)"
_NEGATED, _NEGATED_IN_PORTUGUESE = (
    re.compile(
        rf"[{_UNSPACED_NEGATIONS}]|{_SHORT_DENIAL}|\b(?:{'|'.join(sorted(words))})\b{_NO_DENIAL}", re.IGNORECASE
    )
    for words in (_NEGATIONS, _NEGATIONS - {"no"})  # there "no" is "in the"
)
_PORTUGUESE = re.compile(r"\W*(?:sim|n[\u00e3a]o)\b", re.IGNORECASE)
# Words that deny a verb: "not", "never".
_VERB_NEGATED = re.compile(
    rf"[\u4e0d\u672a\u6ca1]|{_SHORT_DENIAL}|\b(?:{'|'.join(sorted(_DENIALS))}|never|nie|jamais|nunca)\b{_NO_DENIAL}",
    re.IGNORECASE,
)
_APOSTROPHES = str.maketrans("\u2019", "'")
_FIRST = re.compile(r"\W*([^\W\d_]+)\s*(?:[,.;:!\u2013\u2014\u060c\u061b\u3001\u3002\uff0c\uff01\uff1a]|$)")
# The verbs that begin a question for yes or no, in the languages of `modes.json`, and the signs of Chinese for it.
_ASKING_VERBS = """
    is are was were am do does did has have had can could may might must shall should will would need
    isn't aren't wasn't weren't don't doesn't didn't hasn't haven't hadn't can't cannot couldn't mustn't shouldn't
    won't wouldn't
    ist sind war waren wird werden wurde wurden hat haben hatte hatten kann k\u00f6nnen darf d\u00fcrfen muss
    m\u00fcssen soll sollen gibt
    est-ce est sont \u00e9tait peut-on doit-on faut-il peut doit
    es est\u00e1 est\u00e1n son era fue hay puede pueden debe deben tiene tienen se
"""
# "Y a-t-il", "La porte est-elle": a verb before its pronoun, without a word that asks.
_INVERTED = (
    r"(?:y\s|(?:l[ae]s?|une?|des|ce(?:tte|s)?)\s.{0,60}|l['].{0,60})?\b[^\W\d_]+-(?:t-)?(?:ils?|elles?|on|vous)\b"
)
_ASKS = re.compile(
    rf"(?:^|,)[^\w,]*(?:(?:{'|'.join(map(re.escape, _ASKING_VERBS.split()))})\s|{_INVERTED})"
    r"|[\u5417\u5427]\s*[?\uff1f]?$|\u662f\u5426|\u662f\u4e0d\u662f",
    re.IGNORECASE,
)
# The questions that begin a piece of a text.
_ASKED = re.compile(r".*[?\uff1f\u061f](?=\s|$)|.*[\uff1f\u061f]", re.DOTALL)
# A negation denies one of the next words: "is not for outdoor use", "darf nicht im Bad stehen".
_REACH_WORDS, _REACH_CHARACTERS = 5, 6
# The deciding sentence has this share of the question's words; in unspaced scripts many are parts of two words.
_LEAST_SHARE = 1 / 3
# Of sentences with equal shares, the shortest decides.
_LENGTH_PENALTY = 0.001
# A sentence with so many words, of which one of a passage has this share, says what that one says, or denies it.
_FEWEST_WORDS, _SAME_SHARE = 2, 0.8


@dataclass(frozen=True, slots=True)
class Verdict:
    """The passage (from 0) whose sentence decides, its share of the words, and whether it agrees.

    A `bare` answer says nothing but yes or no.
    """

    passage: int
    share: float
    agrees: bool
    bare: bool


class _Piece(NamedTuple):
    """A piece of a passage, and the part of it that states something: behind its questions, their answer."""

    text: str
    told: str

    @property
    def answers(self) -> bool:
        """Whether it has a question too."""
        return self.told != self.text

    def is_denied(self, other: str, question: str, negations: re.Pattern[str]) -> bool:
        """Return whether it denies a word of the other text, or answers its own question with no."""
        reply = _said(self.told) if self.answers else None
        if reply is not None:
            return not reply
        told = without_negated_bounds(self.told, other)
        return _is_denied(told, labels(other), question, negations) or is_banned(told, question or other)


def is_yes_or_no(sentence: str) -> bool:
    """Return whether a sentence begins with a yes or a no."""
    return _said(sentence) is not None


def without_yes_or_no(sentence: str) -> str:
    """Return a sentence without the yes or no that it begins with, unless it says nothing else."""
    found = _FIRST.match(sentence) if is_yes_or_no(sentence) else None
    rest = sentence[found.end() :].strip() if found else ""
    return rest or sentence


def asks_yes_or_no(question: str) -> bool:
    """Return whether a question, or a part of it behind a comma, is for yes or no."""
    return _ASKS.search(question.translate(_APOSTROPHES).strip()) is not None


def verdict(sentence: str, question: str, passages: Sequence[str]) -> Verdict | None:
    """Return what decides a sentence that begins with yes or no; None for other sentences.

    A bare answer agrees if the deciding sentence is denied for "no" and not for "yes"; another figure than the
    question's denies it too. In a longer answer, what follows must be denied as the deciding sentence is.
    """
    bare = MARKER.sub("", sentence)
    said = _said(bare)
    if said is None or not passages:
        return None
    found = _FIRST.match(bare)
    rest = bare[found.end() :] if found else ""
    stated = labels(rest)
    words = labels(question) | stated
    weights = weights_of(words, passages)
    asked = {word: weight for word, weight in weights.items() if word in labels(question)}
    pieces = [(index, piece) for index, text in enumerate(passages) for piece in _pieces(text, windows(text))]
    if not pieces:
        return None
    index, decisive = max(
        pieces,
        key=lambda one: (
            _share(one[1].text, weights) - _LENGTH_PENALTY * len(labels(one[1].text)),
            -one[0],
            one[1].text,
        ),
    )
    negated = _NEGATED_IN_PORTUGUESE if _PORTUGUESE.match(bare) else _NEGATED
    denied = decisive.is_denied(f"{question} {rest}", question, negated)
    if stated:
        share = _share(decisive.text, weights)
        is_negative = negated.search(without_negated_bounds(rest, decisive.told)) is not None
        is_negative = is_negative or is_banned(rest, question)
        return Verdict(index, share, denied == is_negative, bare=False)
    if is_banned(decisive.told, question):  # the words that ask for leave are not those of a ban
        without = labels(without_leave(question))
        asked = weights_of(without, passages)
    share = _share(decisive.text, asked)
    holds = not denied and not _has_another_figure(decisive.told, question)
    return Verdict(index, share, share >= _LEAST_SHARE and holds == said, bare=True)


def contradicts(sentence: str, passages: Sequence[str]) -> bool:
    """Return whether the sentence of the passages that has nearly all words of this one denies it, or does not."""
    own = labels(sentence)
    pieces = [piece for text in passages for piece in _pieces(text, segments(text))]
    pieces += [piece for text in passages for piece in _pieces(text, windows(text)) if piece.answers]
    if len(own) < _FEWEST_WORDS or not pieces:
        return False
    held, decisive = max(
        ((len(own & labels(piece.text)), piece) for piece in pieces),
        key=lambda found: (found[0], -len(found[1].text)),
    )
    if held < _SAME_SHARE * len(own):
        return False
    said = without_negated_bounds(sentence, decisive.told)
    return decisive.is_denied(sentence, "", _VERB_NEGATED) != _is_denied(said, own, "", _VERB_NEGATED)


def _pieces(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[_Piece]:
    """Yield the pieces of a text that state something: a question alone does not."""
    for start, end in spans:
        piece = text[start:end]
        asked = _ASKED.match(piece)
        told = piece[asked.end() :].strip() if asked else piece
        if told:
            yield _Piece(piece, told)


def _said(sentence: str) -> bool | None:
    found = _FIRST.match(MARKER.sub("", sentence))
    return _SAID.get(found[1].casefold()) if found else None


def _share(text: str, weights: dict[str, float]) -> float:
    held = labels(text)
    whole = math.fsum(weights.values()) or 1.0
    return math.fsum(weight for word, weight in weights.items() if word in held) / whole


def _is_denied(sentence: str, words: frozenset[str], question: str, negations: re.Pattern[str] = _NEGATED) -> bool:
    """Return whether a negation of the sentence, which the question lacks, precedes one of the words."""
    asked = {found[0].casefold() for found in _NEGATED.finditer(question) if not _DENIAL.fullmatch(found[0])}
    for found in negations.finditer(sentence):
        after = CLAUSE_END.split(sentence[found.end() :], maxsplit=1)[0]
        near = after[:_REACH_CHARACTERS] if UNSPACED.match(found[0]) else " ".join(after.split()[:_REACH_WORDS])
        if found[0].casefold() not in asked and not words.isdisjoint(labels(near)):
            return True
    return False


def _has_another_figure(sentence: str, question: str) -> bool:
    stated = [figure.forms for figure in figures(sentence)]
    return bool(stated) and any(all(one.forms.isdisjoint(forms) for forms in stated) for one in figures(question))
