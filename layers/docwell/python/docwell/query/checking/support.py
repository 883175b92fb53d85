"""Measure how far the cited passages support each sentence of an answer. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from docwell.answers import Sentence
from docwell.models import Passage
from docwell.query.checking.claims import LEAST_ASKED, Claim, weights_of
from docwell.query.checking.facts import Known, figures, names
from docwell.query.checking.grounding import Evidence, GroundedAnswer, marked
from docwell.query.checking.labels import asked_labels, labels
from docwell.query.checking.moments import is_of_period
from docwell.query.checking.polarity import (
    asks_yes_or_no,
    contradicts,
    is_yes_or_no,
    verdict,
    without_yes_or_no,
)
from docwell.query.checking.sentence_mentions import Mention
from docwell.query.checking.wording import answer_sentences, begins_sentence, claimed, verbatim_source
from docwell.text.lexicon import MARKER, content_words, script, segments, windows, words

# Returns the cosines of each of the first texts with each of the second.
Similarity = Callable[[Sequence[str], Sequence[str]], Sequence[Sequence[float]]]

# The question's own words show less where a sentence comes from than the words that it adds.
_ASKED_WEIGHT = 0.3
# A sentence's right passage holds a third or more of its plain words; a translation of it holds hardly any.
_FOREIGN_SHARE = 0.1
# Fewer words of a question say too little of its subject: a right answer can have others.
_FEWEST_ASKED = 3
# A question for one of these can be answered in its own words, and so can one for yes or no. One for a number, a
# time or a person cannot.
_CHOOSING = frozenset({"what", "which"})
_QUESTION_ENDS = ("?", "\uff1f", "\u061f")


@dataclass(frozen=True, slots=True)
class MeaningScale:
    """The cosines of an embedding model at which meaning counts for nothing and for everything.

    `foreign` has the two for texts in different languages, if the model compares these. The defaults are those of
    all-MiniLM-L6-v2: of 243 XQuAD questions stated with their answers, the right passage supports 97.5%, another
    passage 2.5%; with the answer to another question, which the passage does not hold, it supports 14%.
    """

    unrelated: float = 0.45
    same: float = 0.95
    foreign: tuple[float, float] | None = None


_MINILM = MeaningScale()


def support(
    grounded: GroundedAnswer,
    passages: Sequence[Passage],
    question: str = "",
    similarity: Similarity | None = None,
    min_support: float = 0.5,
    scale: MeaningScale = _MINILM,
    *,
    about: bool = True,
) -> tuple[Sentence, ...]:
    """Return the sentences of an answer with their support, 0 to 1, from the passages that they cite.

    Lexical support is the share of a sentence's words, by rarity, that its cited passages hold. With `similarity`,
    a higher cosine to a cited window raises one under `min_support` to the mean of both. For passages in another
    language than the sentence, the cosine alone counts: it shows the topic and not that the answer is right. A
    sentence without markers has no support. One that a cited passage has word by word has full support; if it is
    only the beginning of a sentence there, its figures hold. One that begins with yes or no is supported only if
    the sentence that decides it agrees (`docwell.query.checking.polarity`).
    `missing` lists figures that no passage holds, and names that neither a passage nor the question holds. A
    sentence with a missing figure is never supported, nor one with a figure that its cited passages do not state
    of the same thing (`docwell.query.checking.claims`). With `about`, neither is one whose cited passages all
    have little to do with the question, as a copied sentence can.
    """
    texts = answer_sentences(grounded.text)
    bare = [claimed(text) for text in texts]
    cited = [tuple(marked(text, len(passages))) for text in texts]
    evidence = Evidence(passages, question, content_words)
    lexical = [_lexical(text, markers, evidence, question) for text, markers in zip(bare, cited, strict=True)]
    # Embedding takes longer than all else here, so meaning is asked only where words support too little.
    compared = [() if share >= min_support else markers for share, markers in zip(lexical, cited, strict=True)]
    meant = _meant(bare, compared, evidence, similarity, scale)
    judge = _Judge(passages, question, similarity, scale)
    known, asked = Known.of(judge.passages), Known.of([question])
    checked: list[Sentence] = []
    for place, text in enumerate(texts):
        wrong = [figure.written for figure in figures(bare[place]) if not known.has_figure(figure)]
        unknown = [
            name.written for name in names(bare[place]) if not (known.has_name(name) or asked.has_name(name))
        ]
        alike, foreign = meant[place]
        score, agrees = judge.judged(
            bare[place], cited[place], max(lexical[place], (lexical[place] + alike) / 2, foreign)
        )
        supported = score >= min_support and agrees and not wrong
        supported = supported and (not about or any(map(judge.fits, cited[place])))
        missing = tuple(dict.fromkeys([*wrong, *unknown]))
        checked.append(Sentence(text, cited[place], round(score, 3), supported, missing))
    return tuple(checked)


@dataclass(frozen=True)
class _Judge:
    """Judges sentences as claims, by the passages of the prompt."""

    found: Sequence[Passage]
    question: str
    similarity: Similarity | None
    scale: MeaningScale

    @cached_property
    def passages(self) -> tuple[str, ...]:
        return tuple(passage.chunk.text for passage in self.found)

    @cached_property
    def _weights(self) -> dict[str, float]:
        return weights_of(asked_labels(self.question), self.passages)

    def fits(self, marker: int) -> bool:
        """Return whether a passage has enough of the question's words, or is near it in meaning.

        The words of its heading and of its document's name count. Neither a passage in another language nor a
        question of few words is compared.
        """
        passage, weights = self.found[marker - 1], self._weights
        text = passage.chunk.text
        held = self._held(f"{passage.document} {passage.chunk.heading} {text}")
        if len(weights) < _FEWEST_ASKED or held >= LEAST_ASKED * math.fsum(weights.values()):
            return True
        if _is_foreign(self.question, text):
            return True
        # The piece with most words of the question is mostly near.
        return self._is_near(sorted(_pieces(text), key=self._held, reverse=True))

    def _held(self, text: str) -> float:
        """Return the weight of the question's words that a text has."""
        known = labels(text)
        return math.fsum(weight for word, weight in self._weights.items() if word in known)

    def judged(self, bare: str, cited: Sequence[int], score: float) -> tuple[float, bool]:
        """Return the support of a sentence, of which `score` is that by its words, and whether its claim holds."""
        texts = [self.passages[marker - 1] for marker in cited]
        if not self._has_period(bare, cited):
            return score, False
        if verbatim_source(bare, texts) is not None:
            return 1.0, True
        decided = verdict(bare, self.question, texts)
        if decided and (decided.bare or not decided.agrees):
            return (decided.share if decided.bare else score), decided.agrees
        if any(begins_sentence(bare, text) for text in texts):
            return score, True
        if not decided and contradicts(bare, texts):
            return score, False
        claim = Claim.of(bare, self.question, self.passages)
        return score, all(self._holds(claim, figure, texts) for figure in claim.figures)

    def _has_period(self, bare: str, cited: Sequence[int]) -> bool:
        """Return whether a sentence can be of the period that the question names; a passage may be named by it."""
        found = [self.found[marker - 1] for marker in cited]
        names = " ".join(f"{one.document.replace('_', ' ')} {one.chunk.heading}" for one in found)
        return is_of_period(bare, self.question, [one.chunk.text for one in found], names)

    def _holds(self, claim: Claim, figure: Mention, texts: Sequence[str]) -> bool:
        """Return whether a passage states the figure of the same thing, by the question's words or meaning."""
        near: list[str] = []
        for text in texts:
            foreign = self.scale.foreign is not None and _is_foreign(claim.text, text)
            if claim.mentions_of(figure, text, foreign=foreign):
                return True
            near += [mention.text for mention in claim.mentions_of(figure, text, asked=False)]
        return self._is_near(near)

    def _is_near(self, texts: Sequence[str]) -> bool:
        """Return whether the meaning of one of the texts, asked in turn, is near that of the question."""
        if self.similarity is None:
            return False
        cosines = (self.similarity([self.question], [text])[0][0] for text in texts)
        return any(_share(one, self.scale.unrelated, self.scale.same) / 2 >= LEAST_ASKED for one in cosines)


def is_answered(question: str, checked: Sequence[Sentence], passages: Sequence[Passage]) -> bool:
    """Return whether a supported sentence adds something to the question; if none does, refuse.

    "Yes" and "no" add something. A question for what or which ("The Amazon rainforest covers the Amazon basin"),
    or for yes or no ("Dogs are not allowed"), may be answered in its own words if a cited sentence has them all.
    """
    asked = content_words(question)
    chooses = not _CHOOSING.isdisjoint(words(question)) or asks_yes_or_no(question)
    return any(
        sentence.supported
        and (_adds(MARKER.sub("", sentence.text), asked) or (chooses and _is_stated(sentence, passages)))
        for sentence in checked
    )


def _is_stated(sentence: Sentence, passages: Sequence[Passage]) -> bool:
    """Return whether one sentence of a cited passage has all words of a sentence that asks nothing."""
    bare = MARKER.sub("", sentence.text)
    said = content_words(bare)
    texts = [passages[marker - 1].chunk.text for marker in sentence.markers]
    return not bare.rstrip().endswith(_QUESTION_ENDS) and any(
        said <= content_words(text[start:end]) for text in texts for start, end in segments(text)
    )


def _lexical(bare: str, markers: Sequence[int], evidence: Evidence, question: str) -> float:
    """Return the share of a sentence's words, by rarity, that its cited passages hold."""
    known = frozenset[str]().union(*(evidence.known[marker - 1] for marker in markers))
    asked, said = content_words(question), content_words(without_yes_or_no(bare))
    total = evidence.weight(said - asked) + _ASKED_WEIGHT * evidence.weight(said & asked)
    held = evidence.weight((said - asked) & known) + _ASKED_WEIGHT * evidence.weight(said & asked & known)
    return held / total if total else 0.0


def _meant(
    bare: Sequence[str],
    cited: Sequence[tuple[int, ...]],
    evidence: Evidence,
    similarity: Similarity | None,
    scale: MeaningScale,
) -> list[tuple[float, float]]:
    """Return how far meaning supports each sentence, 0 to 1: by passages in its language, and by foreign ones.

    A passage in the sentence's language shows one window, which the words choose; a foreign one shows all.
    """
    if similarity is None or not any(cited):
        return [(0.0, 0.0)] * len(bare)
    texts = [text.strip() for text in bare]
    own: list[list[str]] = []
    foreign: list[list[str]] = []
    for text, markers in zip(texts, cited, strict=True):
        abroad = [marker for marker in markers if scale.foreign and _is_foreign(text, _passage(evidence, marker))]
        own.append([_window(text, evidence, marker) for marker in markers if marker not in abroad])
        foreign.append([piece for marker in abroad for piece in _pieces(_passage(evidence, marker))])
    unique = list(dict.fromkeys(chain.from_iterable([*own, *foreign])))
    rows = iter(similarity([text for text, some in zip(texts, cited, strict=True) if some], unique))
    found: list[tuple[float, float]] = []
    for here, abroad_pieces, some in zip(own, foreign, cited, strict=True):
        cosines = dict(zip(unique, next(rows), strict=True)) if some else {}
        closest = [max((cosines[piece] for piece in pieces), default=-1.0) for pieces in (here, abroad_pieces)]
        found.append(
            (
                _share(closest[0], scale.unrelated, scale.same),
                _share(closest[1], *scale.foreign) if scale.foreign else 0.0,
            )
        )
    return found


def _share(cosine: float, nothing: float, everything: float) -> float:
    return min(1.0, max(0.0, (cosine - nothing) / (everything - nothing)))


def _is_foreign(sentence: str, passage: str) -> bool:
    """Return whether a sentence shares next to no word with a passage, names and figures aside.

    Within a script other than Latin, it can be an unrelated sentence of one language with many endings.
    """
    plain = (word for word in sentence.split() if word == word.lower() and not any(map(str.isdigit, word)))
    said = words(" ".join(plain))
    if not said or len(said & words(passage)) >= _FOREIGN_SHARE * len(said):
        return False
    return script(passage) not in {"", script(sentence)} or script(sentence) == "LATIN"


def _passage(evidence: Evidence, marker: int) -> str:
    return evidence.passages[marker - 1].chunk.text


def _pieces(text: str) -> list[str]:
    return [" ".join(text[start:end].split()) for start, end in windows(text)]


def _window(sentence: str, evidence: Evidence, marker: int) -> str:
    start, end = evidence.window(content_words(sentence), marker - 1)
    return " ".join(evidence.passages[marker - 1].chunk.text[start:end].split())


def _adds(bare: str, asked: frozenset[str]) -> bool:
    return is_yes_or_no(bare) or bool(content_words(bare) - asked)
