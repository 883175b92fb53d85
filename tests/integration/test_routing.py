"""The router with real models, on questions that are not among its examples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.answers import Mode
from docwell.models import Chunk, Passage
from docwell.query.routing import Router, examples
from tests.integration.test_multilingual_e5 import folder as multilingual

pytestmark = pytest.mark.integration
# By mode and language; each ordinary question has the text that answers it.
QUESTIONS: dict[str, dict[str, list[Any]]] = json.loads(
    Path(__file__).with_name("router_questions.json").read_text(encoding="utf-8")
)
BUILT = Path(__file__).parents[2] / "layers/embedder/model"
# A question about a document that is missed is answered from passages; another one taken for it is answered wrong.
MOST_MISSED, MOST_WRONG = 1 / 8, 1 / 16
# The examples have these; what follows is about languages of which the router knows no question too.
WITH_EXAMPLES = ("en", "de", "fr", "es", "zh")
__all__ = ["multilingual"]


def errors(folder: Path) -> dict[str, tuple[int, int]]:
    """Return, for each language, the overview questions missed and the ordinary ones taken for them."""
    embedder = OnnxEmbedder(folder, 1)
    router = Router(embedder)
    found = {}
    for language, ordinary in QUESTIONS["passages"].items():
        texts = embedder.embed_passages([text for _, text in ordinary])
        chosen: dict[str, list[Mode]] = {}
        for name, questions in (
            ("overview", QUESTIONS["overview"][language]),
            ("passages", [asked for asked, _ in ordinary]),
        ):
            for question, vector in zip(questions, embedder.embed_queries(questions), strict=True):
                near = [
                    Passage("", "", "", "", Chunk(text, 1, 0, len(text), 0), float(score))
                    for (_, text), score in zip(ordinary, texts @ vector, strict=True)
                ]
                chosen.setdefault(name, []).append(router.choose(question, vector.tolist(), near))
        missed = sum(mode is not Mode.OVERVIEW for mode in chosen["overview"])
        found[language] = (missed, sum(mode is not Mode.PASSAGES for mode in chosen["passages"]))
    print(found)  # noqa: T201 - docs/overviews.md has these figures
    return found


def shares(found: dict[str, tuple[int, int]], languages: Iterable[str]) -> tuple[float, float]:
    """Return the shares of questions of these languages that are missed, and that are taken for overviews."""
    missed, wrong = zip(*(found[language] for language in languages), strict=True)
    asked = (sum(len(QUESTIONS[mode][language]) for language in languages) for mode in ("overview", "passages"))
    about, ordinary = asked
    return sum(missed) / about, sum(wrong) / ordinary


def test_no_question_is_an_example() -> None:
    known = {question for questions in examples().values() for question in questions}
    overviews = [asked for some in QUESTIONS["overview"].values() for asked in some]
    ordinary = [asked for some in QUESTIONS["passages"].values() for asked, _ in some]
    assert (len(overviews), len(ordinary)) == (112, 76)
    assert not known & {*overviews, *ordinary}


def test_the_english_model_knows_questions_about_a_document_in_languages_with_examples() -> None:
    if not BUILT.exists() or "all-MiniLM-L6-v2" not in ModelManifest.read(BUILT).name:
        pytest.skip("all-MiniLM-L6-v2 is not built")
    found = errors(BUILT)
    assert shares(found, ["en"])[0] <= MOST_MISSED
    assert shares(found, WITH_EXAMPLES)[0] <= 2 * MOST_MISSED
    assert shares(found, found)[1] <= MOST_WRONG


def test_the_multilingual_model_knows_them_in_nine_languages(multilingual: Path) -> None:
    found = errors(multilingual)
    missed, wrong = shares(found, found)
    assert missed <= MOST_MISSED
    assert wrong <= 2 * MOST_WRONG
