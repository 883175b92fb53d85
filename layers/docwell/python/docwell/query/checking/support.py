"""How well an answer is borne out by what it cites, and whether a question can be about these passages. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from docwell.answers import Sentence
from docwell.models import Passage
from docwell.query.checking.evidence import Evidence
from docwell.query.checking.facts import DATES, Figure, Known, Name, figures, names
from docwell.query.checking.grounding import GroundedAnswer
from docwell.text.lexicon import MARKER, content_words, script, sentences, windows, words

# Cosines of each of the first texts with each of the second.
Similarity = Callable[[Sequence[str], Sequence[str]], Sequence[Sequence[float]]]

# Words that the question had say less of where an answer is from than those it adds.
_ASKED_WEIGHT = 0.3
# Cosine similarity of all-MiniLM-L6-v2 at which meaning counts for nothing, and for all. Over 243 XQuAD
# questions said with their answers, 97.5% are supported by the right passage and 2.5% by another; said
# with the answer to another question of the same article, which is not in the passage, 14% are.
_UNRELATED = 0.45
_SAME = 0.95
_WORDS_WEIGHT = 0.5
# Where a passage fits a question so well, one name that it lacks is more often misspelt or implied than another's.
CERTAIN_RELEVANCE = 0.9
# Every word is held.
_WHOLLY = 0.999
# The same, but for the order of a sum.
_CERTAIN = 1 - 1e-9
# What these ask for can be among the question's own words; a number, a time or a person cannot.
_CHOOSING = frozenset({"what", "which"})

_YEARS = range(1000, 2200)


def support(
    grounded: GroundedAnswer,
    passages: Sequence[Passage],
    question: str = "",
    similarity: Similarity | None = None,
    min_support: float = 0.5,
) -> tuple[Sentence, ...]:
    """Each sentence of an answer with its support, 0 to 1, from the passages that it cites.

    Lexical support is the share of its words, by rarity, that stand in the cited passages. The words that the
    question already had count a third, so that what the sentence adds decides. With `similarity`, the support
    is the mean of that share and of the cosine to the nearest window of a cited passage, or the share alone
    where that is more. A sentence without a marker has no support, and one with a figure that stands in no
    passage is never supported. `missing` are such figures, and names that stand neither there nor in the question.
    """
    texts = sentences(grounded.text)
    evidence = Evidence(passages, question, content_words)
    known = Known(_readings(passages))
    asked = Known([question])
    cited = [_cited(text, len(passages)) for text in texts]
    held = [
        _held(MARKER.sub("", text), markers, evidence, question)
        for text, markers in zip(texts, cited, strict=True)
    ]
    # Meaning adds nothing to a sentence whose every word is held, and embedding takes longer than all else here.
    compared = [() if share > _CERTAIN else markers for share, markers in zip(held, cited, strict=True)]
    near = _nearest(texts, compared, evidence, similarity)
    checked: list[Sentence] = []
    for text, markers, share, closeness in zip(texts, cited, held, near, strict=True):
        bare = MARKER.sub("", text)
        wrong = [figure.written for figure in figures(bare) if not known.has_figure(figure)]
        strange = [name.written for name in names(bare) if not (known.has_name(name) or asked.has_name(name))]
        score = _score(share, closeness)
        checked.append(
            Sentence(
                text=text,
                markers=markers,
                support=round(score, 3),
                supported=score >= min_support and not wrong,
                missing=tuple(dict.fromkeys([*wrong, *strange])),
            )
        )
    return tuple(checked)


def is_answered(question: str, sentences_: Sequence[Sentence]) -> bool:
    """Whether an answer says something that its passages hold: a supported sentence that adds to the question.

    "Yes" and "no" add something. A question for what or which may be answered in its own words ("The Amazon
    rainforest covers the Amazon basin") where the passages hold every word of that. When this is false, refusing
    is better than what the model wrote.
    """
    asked = content_words(question)
    chooses = not _CHOOSING.isdisjoint(words(question))
    return any(
        sentence.supported
        and ((chooses and sentence.support >= _WHOLLY) or _adds(MARKER.sub("", sentence.text), asked))
        for sentence in sentences_
    )


def relevance(question: str, passages: Sequence[Passage]) -> float:
    """How well the best passage fits a question: its similarity, and half the share of its words that it has.

    Similarity alone lets through what is only of the same topic; words alone know no paraphrase.
    """
    asked = content_words(question)
    return max(
        (
            passage.score + _WORDS_WEIGHT * len(asked & content_words(passage.chunk.text)) / max(len(asked), 1)
            for passage in passages
        ),
        default=-1.0,
    )


def question_names_missing(
    question: str, passages: Sequence[Passage], *, certain: bool = False
) -> tuple[str, ...]:
    """The names and years of a question that stand in none of the passages, nor in their documents' keys.

    Then the passages are about something else, and the question is best refused without asking the model.
    A name is missing when its last word is; a year when its neighbours are missing too, as seasons and fiscal
    years differ from calendar years by one. An acronym may be the asker's own, and is missing only where every
    other name is. Where all else of the question fits (`certain`), so may any name, and a year may be implied.
    Passages in another script than the question's say nothing, so nothing is missing.
    """
    if not passages or not _same_script(question, passages):
        return ()
    known = Known([*_readings(passages), *(passage.document for passage in passages)])
    last_words = {_name_key(name): name for name in names(question)}
    strange = [name for name in last_words.values() if not known.has_name(name)]
    standing = [name for name in last_words.values() if name not in strange]
    if certain and any(name.written.lower() not in DATES for name in standing):
        strange = []
    elif standing:
        strange = [name for name in strange if not name.is_short]
    wrong = [
        figure.written
        for figure in figures(question)
        if not certain and _years(figure) and not any(known.has_figure(near) for near in _neighbours(figure))
    ]
    return tuple(dict.fromkeys([*(name.written for name in strange), *wrong]))


def _readings(passages: Sequence[Passage]) -> list[str]:
    return [passage.chunk.text for passage in passages]


def _cited(sentence: str, count: int) -> tuple[int, ...]:
    numbers = (int(number) for group in MARKER.findall(sentence) for number in group.replace(";", ",").split(","))
    return tuple(dict.fromkeys(number for number in numbers if 1 <= number <= count))


def _held(bare: str, markers: Sequence[int], evidence: Evidence, question: str) -> float:
    """The share of a sentence's words, by rarity, that the passages it cites have."""
    if not markers:
        return 0.0
    known = set[str]().union(*(evidence.known(marker - 1) for marker in markers))
    asked = content_words(question)
    said = content_words(bare)
    total = evidence.weight(said - asked) + _ASKED_WEIGHT * evidence.weight(said & asked)
    held = evidence.weight((said - asked) & known) + _ASKED_WEIGHT * evidence.weight(said & asked & known)
    return held / total if total else 0.0


def _score(lexical: float, closeness: float | None) -> float:
    if closeness is None:
        return lexical
    meaning = min(1.0, max(0.0, (closeness - _UNRELATED) / (_SAME - _UNRELATED)))
    return max(lexical, (lexical + meaning) / 2)


def _nearest(
    texts: Sequence[str], cited: Sequence[tuple[int, ...]], evidence: Evidence, similarity: Similarity | None
) -> list[float | None]:
    """The cosine of each sentence to the window of its cited passages that shares most words with it.

    One window for each marker is compared, so that an answer costs as many embeddings as it has markers.
    """
    if similarity is None or not any(cited):
        return [None] * len(texts)
    bare = [MARKER.sub("", text).strip() for text in texts]
    pieces = [
        [_window(text, evidence, marker) for marker in markers] for text, markers in zip(bare, cited, strict=True)
    ]
    unique = list(dict.fromkeys(piece for some in pieces for piece in some))
    rows = iter(similarity([text for text, some in zip(bare, pieces, strict=True) if some], unique))
    return [_most(next(rows), [unique.index(piece) for piece in some]) if some else None for some in pieces]


def _most(row: Sequence[float], places: Sequence[int]) -> float:
    return max(float(row[place]) for place in places)


def _window(sentence: str, evidence: Evidence, marker: int) -> str:
    text = evidence.passages[marker - 1].chunk.text
    said = content_words(sentence)
    start, end = max(windows(text), key=lambda window: evidence.relevance(said, text[window[0] : window[1]]))
    return " ".join(text[start:end].split())


def _adds(bare: str, asked: frozenset[str]) -> bool:
    first = bare.strip().partition(" ")[0].strip(",.!:").casefold()
    return first in {"yes", "no"} or bool(content_words(bare) - asked)


def _name_key(name: Name) -> str:
    """What the words of one name share; an acronym stands for itself."""
    return name.written if name.is_short else name.initials or name.written


def _years(figure: Figure) -> list[int]:
    return [int(form) for form in figure.forms if form.isdecimal() and int(form) in _YEARS]


def _neighbours(figure: Figure) -> list[Figure]:
    """The years that a figure may be, each with the one before and after it."""
    return [Figure(figure.written, frozenset({str(year + by)})) for year in _years(figure) for by in (-1, 0, 1)]


def _same_script(question: str, passages: Sequence[Passage]) -> bool:
    return script(question) == script(" ".join(_readings(passages))[:2000])
