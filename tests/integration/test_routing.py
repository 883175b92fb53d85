"""The router with real models, on questions that are not among its examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.answers import Mode
from docwell.models import Chunk, Passage
from docwell.query.routing import Router
from docwell.query.subject import examples
from tests.integration.test_multilingual_e5 import folder as multilingual

pytestmark = pytest.mark.integration
# By mode and language; each ordinary question has the text that answers it, and each list its subject.
QUESTIONS: dict[str, dict[str, list[Any]]] = json.loads(
    Path(__file__).with_name("router_questions.json").read_text(encoding="utf-8")
)
BUILT = Path(__file__).parents[2] / "layers/embedder/model"
# Being wrong costs one more call of the model, or a list in place of an answer.
MOST_WRONG = 1 / 8
__all__ = ["multilingual"]


class Errors(NamedTuple):
    """The errors on the questions of a language, of 8 each.

    `overviews` and `lists` were missed, and `ordinary` ones taken for either; `subjects` are of lists.
    """

    overviews: int
    lists: int
    ordinary: int
    subjects: int


def errors(folder: Path) -> dict[str, Errors]:
    embedder = OnnxEmbedder(folder, 1)
    router = Router(embedder)

    def chosen(questions: list[str], texts: NDArray[np.float32], *, of_one: bool = False) -> list[Mode]:
        found = []
        for question, vector in zip(questions, embedder.embed_queries(questions), strict=True):
            near = [
                Passage("", "" if of_one else str(number), "", "", Chunk("", 1, 0, 0, 0), float(one))
                for number, one in enumerate(texts @ vector)
            ]
            found.append(router.choose(question, vector.tolist(), near))
        return found

    found = {}
    for language, ordinary in QUESTIONS["passages"].items():
        texts = embedder.embed_passages([text for _, text in ordinary])
        lists = QUESTIONS["list"][language]
        modes = {
            Mode.OVERVIEW: chosen(QUESTIONS["overview"][language], texts, of_one=True),
            Mode.LIST: chosen([asked for asked, _ in lists], texts),
            Mode.PASSAGES: chosen([asked for asked, _ in ordinary], texts),
        }
        subjects = [router.subjects.find(asked) for asked, _ in lists]
        wrong = {mode: sum(one is not mode for one in each) for mode, each in modes.items()}
        found[language] = Errors(
            wrong[Mode.OVERVIEW],
            wrong[Mode.LIST],
            wrong[Mode.PASSAGES],
            sum(one is None or one.text != subject for one, (_, subject) in zip(subjects, lists, strict=True)),
        )
    return found


def test_no_question_is_an_example() -> None:
    known = {question for questions in examples().values() for question in questions}
    overviews = [asked for some in QUESTIONS["overview"].values() for asked in some]
    others = [asked for mode in ("passages", "list") for some in QUESTIONS[mode].values() for asked, _ in some]
    assert (len(overviews), len(others)) == (40, 80)
    assert not known & {*overviews, *others}


def test_the_english_model_knows_english_questions_about_a_document() -> None:
    if not BUILT.exists() or "all-MiniLM-L6-v2" not in ModelManifest.read(BUILT).name:
        pytest.skip("all-MiniLM-L6-v2 is not built")
    found = errors(BUILT)
    print(found)  # noqa: T201 - docs/modes.md has these figures
    english = found["en"]
    assert max(english.overviews, english.ordinary, english.subjects) <= MOST_WRONG * 8


def test_the_multilingual_model_knows_them_in_five_languages(multilingual: Path) -> None:
    found = errors(multilingual)
    print(found)  # noqa: T201 - docs/modes.md has these figures
    assert sum(one.overviews for one in found.values()) <= MOST_WRONG * 40
    assert sum(one.ordinary for one in found.values()) <= MOST_WRONG * 40
