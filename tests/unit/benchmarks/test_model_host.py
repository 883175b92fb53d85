"""The model host that answers with sentences of the first passage."""

from __future__ import annotations

import json

from benchmarks.model_host import answer_to
from docwell.models import Chunk, Passage
from docwell.query.checking.check import Checker
from docwell.query.prompting import build_prompt, load_prompt

TEXTS = (
    "The boiler in the cellar is inspected every March by two engineers. A sticker on its door shows the date.",
    "Bicycles are kept in the yard behind the kitchen, and the gate is locked at ten in the evening.",
)
QUESTION = "What is said of the boiler in the cellar?"


def passages() -> list[Passage]:
    return [
        Passage(str(number), "house/rules.pdf", "live", "v1", Chunk(text, 1, 0, len(text), 20), 0.8)
        for number, text in enumerate(TEXTS)
    ]


def prompt() -> str:
    return build_prompt(load_prompt("answer"), passages(), QUESTION, 4_000).messages[-1].content


def test_the_model_server_says_what_docwell_takes_for_an_answer() -> None:
    said = answer_to(json.dumps({"messages": [{"content": prompt()}]}).encode())
    answer, _ = Checker(passages(), QUESTION).check("".join(said))
    assert answer is not None
    assert answer.text == "The boiler in the cellar is inspected every March by two engineers [1]."
    assert [citation.marker for citation in answer.citations] == [1]
