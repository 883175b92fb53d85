"""Judge yes, no and "not" by the passage sentence that decides them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from docwell.query.checking.figures import labels, weight_of, weights_of
from docwell.text.lexicon import ALL_FUNCTION_WORDS, UNSPACED, segments, windows
from docwell.text.words import pattern, words

_REPLIES = dict.fromkeys(words("yes"), True) | dict.fromkeys(words("no"), False)
# The negations in "n't" and "n'est".
_SHORT_DENIAL = r"n['\u2019]t\b|\bn['\u2019](?=\w)"
# Not a negation: "Form No. 5", "Article no.: PC-90", "non-refundable" and "not only".
_NO_DENIAL = r"(?!-|\.?\s*[\d:]|\.\s*[\w-]*\d|\s+(?:only|just|merely|nur|seulement|s[o\u00f3]lo|else)\b)"
_NEGATIONS = pattern("negation.verb", "negation.ever", "negation.rest")
_NEGATED = re.compile(rf"{_SHORT_DENIAL}|(?:{_NEGATIONS}){_NO_DENIAL}", re.IGNORECASE)
_FIRST = re.compile(r"\W*([^\W\d_]+)\s*(?:[,.;:!\u2013\u2014\u060c\u061b\u3001\u3002\uff0c\uff01\uff1a]|$)")
_FUNCTION_LABELS = frozenset[str]().union(*map(labels, ALL_FUNCTION_WORDS))
QUESTION_ENDS = ("?", "\uff1f", "\u061f")
_CLAUSE_END = re.compile(r"[,;:.!?\u060c\u061b\u3002\uff0c\uff1b](?:\s|$)")
_CLAUSE_START = re.compile(rf"{_CLAUSE_END.pattern}|{pattern('join.but', 'join.clause')}", re.IGNORECASE)
# A negation denies the words before it in its clause, and some after it: "Boats are not for outdoor use".
_REACH_WORDS, _REACH_CHARACTERS = 5, 6
# The deciding sentence has at least this share of the question's words.
_LEAST_SHARE = 1 / 3
# Two sentences state or deny the same if one has this share of the other's words, which are at least this many.
_FEWEST_WORDS, _SAME_SHARE = 2, 0.8


class Verdict(NamedTuple):
    """The passage (from 0) whose sentence decides, its share of the words, and whether it agrees.

    A `bare` answer says nothing but yes or no.
    """

    passage: int
    share: float
    agrees: bool
    bare: bool


def split_reply(sentence: str) -> tuple[bool | None, str]:
    """Return the yes (True) or no that a sentence without markers begins with, or None, and the words after it."""
    first = _FIRST.match(sentence)
    reply = _REPLIES.get(first[1].casefold()) if first else None
    return reply, sentence[first.end() :].strip() if first and reply is not None else sentence


def verdict(sentence: str, question: str, passages: Sequence[str]) -> Verdict | None:
    """Return the verdict on a sentence without markers that begins with yes or no; None for other sentences.

    A bare "no" agrees if the deciding sentence is denied, and a bare "yes" if it is not. In a longer answer, the
    text after yes or no must be denied exactly if the deciding sentence is.
    """
    reply, rest = split_reply(sentence)
    pieces = [
        (index, text[start:end])
        for index, text in enumerate(passages if reply is not None else ())
        for start, end in windows(text)
        if not text[start:end].endswith(QUESTION_ENDS)
    ]
    if not pieces:
        return None
    weights = weights_of(labels(question) | labels(rest), passages)
    # Of equal pieces, the shortest decides.
    index, decisive = max(pieces, key=lambda piece: (weight_of(weights, labels(piece[1])), -len(piece[1])))
    denied = _is_denied(decisive, labels(f"{question} {rest}"))
    share = weight_of(weights, labels(decisive))
    if labels(rest):
        return Verdict(index, share, denied == bool(_NEGATED.search(rest)), bare=False)
    return Verdict(index, share, share >= _LEAST_SHARE and denied != reply, bare=True)


def contradicts(sentence: str, passages: Sequence[str]) -> bool:
    """Return whether a passage sentence with nearly all words denies this one, or states what it denies."""
    named = labels(sentence)
    stated = (text[start:end] for text in passages for start, end in segments(text))
    pieces = [piece for piece in stated if not piece.endswith(QUESTION_ENDS)]
    if len(named) < _FEWEST_WORDS or not pieces:
        return False
    decisive = max(pieces, key=lambda piece: (len(named & labels(piece)), -len(piece)))
    is_same = len(named & labels(decisive)) >= _SAME_SHARE * len(named)
    return is_same and _is_denied(decisive, named) != _is_denied(sentence, named)


def _is_denied(sentence: str, named: frozenset[str]) -> bool:
    """Return whether a negation of the sentence denies one of the named words, which is no function word."""
    named -= _FUNCTION_LABELS
    for match in _NEGATED.finditer(sentence):
        after = _CLAUSE_END.split(sentence[match.end() :], maxsplit=1)[0]
        before = _CLAUSE_START.split(sentence[: match.start()])[-1]
        words_near = " ".join((before, *after.split()[:_REACH_WORDS]))
        near = after[:_REACH_CHARACTERS] if UNSPACED.match(match[0]) else words_near
        if not named.isdisjoint(labels(near)):
            return True
    return False
