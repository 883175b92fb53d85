"""The router with real models, on questions that are not among its examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from docwell.adapters.embedding.calibration import ModelCalibration
from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession
from docwell.answers import Mode
from docwell.identity import Principal
from docwell.models import Chunk, Passage
from docwell.query.examples import examples
from docwell.query.modes import Modes, Searched
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from docwell.query.routing import Router
from tests.unit.fakes import FakeIndex, FakeLedger

pytestmark = pytest.mark.integration
# By mode and language; each ordinary question has the text that answers it, and each list its subject.
QUESTIONS: dict[str, dict[str, list[Any]]] = json.loads(
    Path(__file__).with_name("router_questions.json").read_text(encoding="utf-8")
)
# Lists in other words, and ordinary questions that begin as lists do: "Which documents does Acme ask for?"
REWORDED: dict[str, dict[str, list[Any]]] = json.loads(
    Path(__file__).with_name("router_lists.json").read_text(encoding="utf-8")
)
BUILT = Path(__file__).parents[2] / "layers/embedder/model"
# A question about a document that is missed is answered from passages; another one taken for it is answered wrong.
MOST_MISSED, MOST_WRONG = 1 / 8, 1 / 16
# After the passages have refused. A list is then no worse than a refusal: it says what it has looked for.
MOST_REFUSED, MOST_LISTED = 2 / 5, 1 / 8
# Of ordinary questions that begin as lists do.
MOST_TAKEN_FOR_LISTS = 1 / 6
# Of the 76 ordinary questions all parts are 644, and 78 are embedded.
MOST_PARTS = 2
# The examples have these; what follows is about languages of which the router knows no question too.
WITH_EXAMPLES = ("en", "de", "fr", "es", "zh")


class Errors(NamedTuple):
    """The errors on the questions of a language, as (wrong, of).

    `overviews` and `lists` were missed, and `ordinary` ones taken for either; `subjects` are of lists. `refused`
    and `unanswered` are the same lists and ordinary questions after the passages have refused to answer.
    """

    overviews: tuple[int, int]
    lists: tuple[int, int]
    ordinary: tuple[int, int]
    refused: tuple[int, int]
    unanswered: tuple[int, int]
    subjects: tuple[int, int]


def errors(folder: Path, asked_of: Mapping[str, Mapping[str, list[Any]]] = QUESTIONS) -> dict[str, Errors]:
    embedder = OnnxEmbedder(folder, 1, OnnxruntimeSession, for_questions=True)
    router = Router(embedder, language=ModelCalibration.read(folder).language)

    def chosen(
        questions: list[str], texts: list[str], vectors: NDArray[np.float32], *, of_one: bool = False
    ) -> list[tuple[Mode, Mode]]:
        found: list[tuple[Mode, Mode]] = []
        if not questions:
            return found
        for question, vector in zip(questions, embedder.embed_queries(questions), strict=True):
            near = [
                Passage("", "" if of_one else str(number), "", "", Chunk(text, 1, 0, len(text), 0), float(score))
                for number, (text, score) in enumerate(zip(texts, vectors @ vector, strict=True))
            ]
            mode = router.choose(question, vector.tolist(), near)
            is_list = router.is_near_list(question, vector.tolist(), near)
            found.append((mode, Mode.LIST if is_list else mode))
        return found

    found = {}
    for language, ordinary in asked_of["passages"].items():
        texts = [text for _, text in ordinary]
        vectors = embedder.embed_passages(texts)
        lists = asked_of["list"].get(language, [])
        asked = {
            Mode.OVERVIEW: chosen(asked_of.get("overview", {}).get(language, []), texts, vectors, of_one=True),
            Mode.LIST: chosen([one for one, _ in lists], texts, vectors),
            Mode.PASSAGES: chosen([one for one, _ in ordinary], texts, vectors),
        }
        subjects = [router.subjects.find(one) for one, _ in lists]
        wrong = {mode: (sum(one is not mode for one, _ in each), len(each)) for mode, each in asked.items()}
        after = {mode: (sum(one is not mode for _, one in each), len(each)) for mode, each in asked.items()}
        unfound = sum(
            one is None or one.text != subject for one, (_, subject) in zip(subjects, lists, strict=True)
        )
        found[language] = Errors(
            wrong[Mode.OVERVIEW],
            wrong[Mode.LIST],
            wrong[Mode.PASSAGES],
            refused=after[Mode.LIST],
            unanswered=after[Mode.PASSAGES],
            subjects=(unfound, len(lists)),
        )
    print(found)  # noqa: T201 - docs/modes.md has these figures
    return found


def share(found: Mapping[str, Errors], kind: str, languages: Iterable[str]) -> float:
    """Return the share of wrong ones among the questions of a kind in these languages."""
    wrong, asked = zip(*(getattr(found[language], kind) for language in languages), strict=True)
    return float(sum(wrong) / sum(asked))


def test_no_question_is_an_example() -> None:
    known = {question for questions in examples().values() for question in questions}
    overviews = [asked for some in QUESTIONS["overview"].values() for asked in some]
    others = [
        asked
        for questions in (QUESTIONS, REWORDED)
        for mode in ("passages", "list")
        for some in questions[mode].values()
        for asked, _ in some
    ]
    assert (len(overviews), len(others)) == (112, 228)
    assert not known & {*overviews, *others}


def test_the_english_model_knows_questions_about_a_document_in_languages_with_examples() -> None:
    if not BUILT.exists() or "all-MiniLM-L6-v2" not in ModelManifest.read(BUILT).name:
        pytest.skip("all-MiniLM-L6-v2 is not built")
    found = errors(BUILT)
    assert share(found, "overviews", ["en"]) <= MOST_MISSED
    assert share(found, "overviews", WITH_EXAMPLES) <= 2 * MOST_MISSED
    assert share(found, "ordinary", found) <= MOST_WRONG
    assert share(found, "subjects", ["en"]) <= MOST_MISSED
    assert share(found, "refused", WITH_EXAMPLES) <= MOST_REFUSED
    assert share(found, "unanswered", found) <= MOST_LISTED
    reworded = errors(BUILT, REWORDED)
    assert share(reworded, "refused", WITH_EXAMPLES) <= MOST_REFUSED
    assert share(reworded, "unanswered", WITH_EXAMPLES) <= MOST_TAKEN_FOR_LISTS


def test_few_parts_of_an_ordinary_question_are_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    if not BUILT.exists() or "all-MiniLM-L6-v2" not in ModelManifest.read(BUILT).name:
        pytest.skip("all-MiniLM-L6-v2 is not built")
    embedder, embedded = OnnxEmbedder(BUILT, 1, OnnxruntimeSession, for_questions=True), list[str]()
    router, embed = Router(embedder, language="en"), embedder.embed_queries
    asked = [one for some in QUESTIONS["passages"].values() for one in some]
    vectors = embed([question for question, _ in asked])
    router.choose("Is it on?", vectors[0].tolist(), [])  # embeds the examples

    def counted(texts: list[str]) -> NDArray[np.float32]:
        embedded.extend(texts)
        return embed(texts)

    monkeypatch.setattr(embedder, "embed_queries", counted)
    for (question, text), vector in zip(asked, vectors, strict=True):
        near = Passage("", "", "", "", Chunk(text, 1, 0, len(text), 0), float(embed([text])[0] @ vector))
        router.choose(question, vector.tolist(), [near])
        router.is_near_list(question, vector.tolist(), [near])
    assert len(embedded) <= MOST_PARTS * len(asked)


# Files that a question names, in words of no example, their first lines, and texts that answer the second half.
FILES = {
    "a/minutes.docx": "Minutes of the general meeting, 12 June. Present: 41 members.",
    "a/Annual_Report-2021.pdf": "Annual Report 2021 of the Nordkai group. To our shareholders.",
    "a/harbour-plan.txt": "The harbour plan sets out how the harbour is rebuilt until 2030.",
}
NAMED_OVERVIEWS = (
    "What is minutes.docx about?",
    "Summarise Annual_Report-2021.pdf.",
    "What is the harbour plan about?",
    "Who wrote the Annual Report 2021?",
    "Tell me what harbour-plan.txt says in short.",
    "Worum geht es in minutes.docx?",
    "Kurze Zusammenfassung von harbour-plan.txt bitte",
    "De quoi parle harbour-plan.txt ?",
    "Résume minutes.docx.",
    "¿De qué trata minutes.docx?",
    "请总结minutes.docx",
)
NAMED_ORDINARY = (
    ("When does the lease in minutes.docx end?", "The lease ends in May."),
    ("How much revenue does Annual_Report-2021.pdf state?", "Revenue was 3 million euros."),
    ("How high is the quay in harbour-plan.txt?", "The quay is 4 metres high."),
    ("How many minutes does the test take?", "The test takes 40 minutes."),
    ("What does harbour-plan.txt say about parking?", "Parking is allowed on the north side."),
    ("Wer hat laut minutes.docx die Brücke entworfen?", "Ada Holt hat die Brücke entworfen."),
    ("Welche Firma baut laut harbour-plan.txt den Kai?", "Die Firma Bolt baut den Kai."),
    ("Combien de personnes ont répondu dans minutes.docx ?", "310 personnes ont répondu."),
)


def test_a_question_that_names_a_file_is_for_its_overview_only_if_it_is_about_all_of_it() -> None:
    if not BUILT.exists() or "all-MiniLM-L6-v2" not in ModelManifest.read(BUILT).name:
        pytest.skip("all-MiniLM-L6-v2 is not built")
    embedder, asked = OnnxEmbedder(BUILT, 1, OnnxruntimeSession, for_questions=True), list[Searched]()

    class Overviews:
        def basis(self, searched: Searched) -> None:
            asked.append(searched)

    modes = Modes(Router(embedder), {Mode.OVERVIEW: Overviews()}, Retrieval(FakeLedger(), FakeIndex()))

    def is_overview(question: str, text: str = "") -> bool:
        (vector,) = embedder.embed_queries([question])

        def passage(key: str, says: str) -> Passage:
            (near,) = embedder.embed_passages([says])
            return Passage(key, key, "", "", Chunk(says, 1, 0, len(says), 0), float(vector @ near))

        passages = tuple(passage(key, says) for key, first in FILES.items() for says in (first, text) if says)
        before = len(asked)
        scope = Scope(Principal("key:a", collections=None))
        modes.basis(Searched(Mode.AUTO, question, scope, vector.tolist(), passages, tuple(FILES), 5))
        return len(asked) > before

    assert [one for one in NAMED_OVERVIEWS if not is_overview(one)] == []
    assert all(len(one.documents) == 1 for one in asked)
    assert [one for one, answer in NAMED_ORDINARY if is_overview(one, answer)] == []
