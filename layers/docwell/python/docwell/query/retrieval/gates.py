"""Refuse a question before asking the model if its passages cannot answer it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from docwell.models import Passage
from docwell.query.checking.facts import DATES, Figure, Known, figures, names
from docwell.text.lexicon import content_words, script

_WORDS_WEIGHT = 0.5
# At this relevance or above, a name that the passages lack is usually misspelt or implied.
CERTAIN_RELEVANCE = 0.9
_YEARS = range(1000, 2200)
# Enough letters to know the script.
_SCRIPT_CHARACTERS = 2000


def is_hopeless(question: str, passages: Sequence[Passage], min_score: float, min_relevance: float) -> bool:
    """Return whether the passages cannot answer, so that the model is not tempted to invent.

    They cannot if none reaches `min_score` or `min_relevance`, or if all lack a name or year of the question.
    """
    # The first passage is not always the nearest: words count in the ranking too.
    nearest = max((passage.score for passage in passages), default=-1.0)
    fit = relevance(question, passages)
    if nearest < min_score or fit < min_relevance:
        return True
    return bool(question_names_missing(question, passages, certain=fit >= CERTAIN_RELEVANCE))


def relevance(question: str, passages: Sequence[Passage]) -> float:
    """Return how well the best passage fits: its cosine, and half the share of the question's words that it holds.

    The cosine alone lets passages on the same topic through; words alone miss paraphrases.
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
    """Return the names and years of a question that neither the passages nor their documents' keys hold.

    A name is missing if its last word is. A year is missing if its neighbours are too, because seasons and fiscal
    years differ from calendar years by one. An acronym can be the asker's own: it is missing only if every other
    name is. With `certain`, years may be implied, and so may names beside one that is not missing. Nothing is
    missing in passages of another script than the question's.
    """
    if not passages or not _same_script(question, passages):
        return ()
    known = Known.of([*(passage.chunk.text for passage in passages), *(passage.document for passage in passages)])
    # The words of one name share its initials. An acronym is a name by itself.
    last_words = {(not name.is_short and name.initials) or name.written: name for name in names(question)}
    missing = [name for name in last_words.values() if not known.has_name(name)]
    known_names = [name for name in last_words.values() if name not in missing]
    if certain and any(name.written.lower() not in DATES for name in known_names):
        missing = []
    elif known_names:
        missing = [name for name in missing if not name.is_short]
    years = [] if certain else [figure for figure in map(_as_years, figures(question)) if figure.forms]
    wrong = [year.written for year in years if not known.has_figure(year)]
    return tuple(dict.fromkeys([*(name.written for name in missing), *wrong]))


def _as_years(figure: Figure) -> Figure:
    """Return a figure that means the years it can be, each with the one before and after it."""
    years = [int(form) for form in figure.forms if form.isdecimal() and int(form) in _YEARS]
    return Figure(figure.written, frozenset(str(year + by) for year in years for by in (-1, 0, 1)))


def _same_script(question: str, passages: Sequence[Passage]) -> bool:
    texts = " ".join(passage.chunk.text for passage in passages)
    return script(question) == script(texts[:_SCRIPT_CHARACTERS])
