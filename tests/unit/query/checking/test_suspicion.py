"""Orders in passages, and characters that hide them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from docwell.query.checking.suspicion import suspicion
from docwell.text.visible import strip_invisible
from infra.report import EVALUATION

CASES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("suspicion.toml").read_text(encoding="utf-8"))
ORDERS = [(text, signal) for signal, texts in CASES["orders"].items() for text in texts]
needs_evaluation = pytest.mark.skipif(
    not (EVALUATION / "guard").is_dir(), reason="no evaluation material: DOCWELL_EVAL"
)


@pytest.mark.parametrize(("text", "signal"), ORDERS)
def test_an_order_to_the_reader_is_marked(text: str, signal: str) -> None:
    assert signal in suspicion(text) if signal else suspicion(text)


@pytest.mark.parametrize("text", CASES["documents"]["harmless"])
def test_documents_letters_and_courts_are_not_marked(text: str) -> None:
    assert suspicion(text) == ()


@pytest.mark.parametrize("repeated", ["\n", "\r\n", " ", "a ", "a, ", "ref ", "your ", "to ", "\u0438"])
def test_words_of_an_order_before_a_repetitive_text_are_not_marked(repeated: str) -> None:
    assert suspicion(("your answer a passwords ignored send to " + repeated * 20_000)[:20_000]) == ()


def test_joiners_that_a_script_needs_stay_and_others_go() -> None:
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert strip_invisible(f"{persian} a\u200db") == f"{persian} ab"
    assert strip_invisible("a\tb\r\nc\rd\u2028e\x00") == "a\tb\nc\nd\ne"


@needs_evaluation
def test_most_attacks_of_the_evaluation_set_are_marked_and_hardly_any_harmless_text() -> None:
    lines = (EVALUATION / "guard" / "prompts_dev.jsonl").read_text(encoding="utf-8").splitlines()
    marked: dict[str, list[bool]] = {"attack": [], "benign": []}
    for row in map(json.loads, lines):
        marked[row["label"]].append(bool(suspicion(row["text"])))
    assert sum(marked["attack"]) >= 0.75 * len(marked["attack"])
    assert sum(marked["benign"]) <= 0.02 * len(marked["benign"])
