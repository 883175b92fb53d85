"""The model host that answers with sentences of the first passage."""

from __future__ import annotations

import json
from contextlib import closing

import httpx

from benchmarks.model_host import ModelHost, answer_to
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


def test_the_time_of_a_chat_is_known_when_its_client_has_all_of_it() -> None:
    host = ModelHost("Nine [1].")
    seconds = []
    with closing(host):
        for _ in range(50):
            httpx.post(f"{host.url}/api/chat", json={"messages": []}, trust_env=False)
            seconds.append(httpx.get(f"{host.url}/-/held", trust_env=False).json())
    assert all(len(sample) == 1 and sample[0] > 0 for sample in seconds)
