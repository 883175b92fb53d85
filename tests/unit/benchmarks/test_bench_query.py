"""The parts of the benchmarks of questions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from unittest.mock import Mock

import httpx
import psutil
import pytest

from benchmarks.model_host import ModelHost, answer_to
from benchmarks.speed import own_time
from benchmarks.speed.asking import Asked
from benchmarks.speed.stream import listen, sentence_ended
from docwell.models import Chunk, Passage
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.grounding import ground
from docwell.query.checking.support import is_answered, support
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
    text, _ = clean_answer("".join(answer_to(prompt(), 0)), TEXTS)
    assert text.strip() == "The boiler in the cellar is inspected every March by two engineers [1]."
    grounded = ground(text, passages(), QUESTION)
    assert [citation.marker for citation in grounded.citations] == [1]
    assert is_answered(QUESTION, support(grounded, passages(), QUESTION), passages())


def test_the_model_server_goes_on_until_it_has_its_tokens() -> None:
    words = answer_to(prompt(), 40)
    assert len(words) == 40
    assert "".join(words).count("[1]") >= 2


def test_only_an_answer_of_the_model_counts_as_answered() -> None:
    answers = [("answered", "passages"), ("answered", "list"), ("refused", "passages")]
    asked = [Asked(0.1, 200, {"status": status, "mode": mode}) for status, mode in answers]
    asked += [Asked(0.1, 429, {}), Asked(0.1, 0, None)]
    assert [one.answered for one in asked] == [True, False, False, False, False]


def test_the_time_of_a_chat_is_known_when_its_client_has_all_of_it() -> None:
    host = ModelHost("Nine [1].")
    held = []
    with closing(host):
        for _ in range(50):
            httpx.post(f"{host.url}/api/chat", json={"messages": []}, trust_env=False)
            held.append(httpx.get(f"{host.url}/-/held", trust_env=False).json())
    assert all(len(one) == 1 and one[0] > 0 for one in held)


def test_a_pace_counts_the_words_after_the_first_piece() -> None:
    pieces: list[tuple[str, dict[str, Any]]] = [
        ("", {"passages": []}), ("four ", {}), ("", {}), ("six more ", {}), ("", {"status": "answered"}),
    ]  # fmt: skip
    heard = listen(0.0, pieces)
    assert heard.last["status"] == "answered"
    assert heard.first_s > 0
    assert heard.rate > 0


def test_a_sentence_ends_with_its_marker_and_the_rest_is_read_too() -> None:
    read = []

    def pieces() -> Iterator[str]:
        for piece in ("The boiler [1", "]. The ", "yard [1]. "):
            read.append((piece, time.perf_counter()))
            yield piece

    ended = sentence_ended(pieces())
    assert [piece for piece, _ in read] == ["The boiler [1", "]. The ", "yard [1]. "]
    assert read[1][1] <= ended <= read[2][1]
    with pytest.raises(RuntimeError, match="no sentence came"):
        sentence_ended(["The boiler", ""])


def test_a_process_that_ends_while_chroma_is_looked_for_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, chroma, ports = Mock(), Mock(), ["--host", "127.0.0.1", "--port", "4"]
    gone.cmdline.side_effect = psutil.NoSuchProcess(1)
    chroma.cmdline.return_value = ["python", "chroma", "run", *ports]
    monkeypatch.setattr(psutil, "Process", lambda: Mock(children=lambda **_: [gone, chroma]))
    assert own_time.chroma_of(Mock()).url == "http://127.0.0.1:4"
