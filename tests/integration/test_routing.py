"""The router with real models, on questions that are not among its examples."""

from __future__ import annotations

import json
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
# Being wrong costs one more call of the model.
MOST_WRONG = 1 / 8
__all__ = ["multilingual"]


def errors(folder: Path) -> dict[str, tuple[int, int]]:
    """Return, for each language, the overview questions missed and the ordinary ones taken for them, of 8 each."""
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
            for vector in embedder.embed_queries(questions):
                near = [Passage("", "", "", "", Chunk("", 1, 0, 0, 0), float(one)) for one in texts @ vector]
                chosen.setdefault(name, []).append(router.choose(vector.tolist(), near))
        missed = sum(mode is not Mode.OVERVIEW for mode in chosen["overview"])
        found[language] = (missed, sum(mode is not Mode.PASSAGES for mode in chosen["passages"]))
    return found


def test_no_question_is_an_example() -> None:
    known = {question for questions in examples().values() for question in questions}
    overviews = [asked for some in QUESTIONS["overview"].values() for asked in some]
    ordinary = [asked for some in QUESTIONS["passages"].values() for asked, _ in some]
    assert len(overviews) == len(ordinary) == 40
    assert not known & {*overviews, *ordinary}


def test_the_english_model_knows_english_questions_about_a_document() -> None:
    if not BUILT.exists() or "all-MiniLM-L6-v2" not in ModelManifest.read(BUILT).name:
        pytest.skip("all-MiniLM-L6-v2 is not built")
    found = errors(BUILT)
    print(found)  # noqa: T201 - docs/modes.md has these figures
    missed, wrong = found["en"]
    assert missed <= MOST_WRONG * 8
    assert wrong <= MOST_WRONG * 8


def test_the_multilingual_model_knows_them_in_five_languages(multilingual: Path) -> None:
    found = errors(multilingual)
    print(found)  # noqa: T201 - docs/modes.md has these figures
    assert sum(missed for missed, _ in found.values()) <= MOST_WRONG * 40
    assert sum(wrong for _, wrong in found.values()) <= MOST_WRONG * 40
