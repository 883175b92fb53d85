"""A chat client sends an answer back as history: it is the answer of the receipt, by which an erasure finds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import openai
import pytest

from docwell.config import RuntimeSettings
from docwell.errors import Overloaded
from docwell.http import openai as chat
from tests.unit.conftest import HttpWorld
from tests.unit.http.test_openai import client_of
from tests.unit.query.query_world import QUESTION

USER = {"role": "user", "content": QUESTION}
SUPPORTED = "The boiler is inspected every March [1]. Every March, the boiler is inspected [1]."
UNSUPPORTED = "Ada paints 45 pumps [1]. The boiler is inspected every March [1]. Bob sells 12 horses [1]."


def said(*, stream: bool) -> str:
    """Return the text of an answer as a client keeps it, as far as it came."""
    with client_of("all") as client:
        asked: Any = {"model": "docwell", "messages": [USER]}
        if not stream:
            return client.chat.completions.create(**asked).choices[0].message.content or ""
        text = ""
        with suppress(openai.APIError):  # an answer that broke off
            for chunk in client.chat.completions.create(**asked, stream=True):
                text += chunk.choices[0].delta.content or "" if chunk.choices else ""
        return text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "says", [SUPPORTED, UNSUPPORTED, "- March [1].\n- Bob sells 12 horses [1].\n\nMarch [1]."]
)
def test_an_answer_comes_back_without_what_docwell_added(world: HttpWorld, says: str, *, stream: bool) -> None:
    world.runtime = RuntimeSettings(can_stream=True)
    world.model.says = says
    comes_back(world, said(stream=stream))


def test_a_corrected_answer_comes_back_as_the_one_that_counts(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.runtime = RuntimeSettings(can_stream=True)
    world.model.says = SUPPORTED
    end = chat.ChatStream._end

    def changed(stream: chat.ChatStream, response: Any) -> Iterator[bytes]:
        stream._sent_pieces[:] = ["Something else."]
        return end(stream, response)

    monkeypatch.setattr(chat.ChatStream, "_end", changed)
    text = said(stream=True)
    assert chat.CORRECTION in text
    comes_back(world, text)


def test_an_answer_that_broke_off_comes_back_as_far_as_it_came(world: HttpWorld) -> None:
    world.runtime = RuntimeSettings(can_stream=True)
    world.model.says = UNSUPPORTED
    world.model.fails, world.model.fails_after = Overloaded("ollama", "overloaded"), 14
    text = said(stream=True)
    world.model.fails = None
    assert chat.NOT_SUPPORTED in text
    comes_back(world, text)


def comes_back(world: HttpWorld, text: str) -> None:
    """Check that the answer of the only receipt is the history of a question after it."""
    ((_, first),) = world.receipts.kept.items()
    messages: Any = [USER, {"role": "assistant", "content": text}, USER]
    with client_of("all") as client:
        client.chat.completions.create(model="docwell", messages=messages)
    *_, second = world.receipts.kept.values()
    (turn,) = second.request["history"]
    assert turn["answer"] == first.answer["answer"]
