"""The console's files: no way to turn text into elements, pinned modules, words for each key."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from docwell.models import Reason, Status

CONSOLE = Path(__file__).parents[2] / "console"
SCRIPTS = sorted(CONSOLE.glob("*.js"))
LANGUAGES = sorted(path.stem for path in (CONSOLE / "strings").glob("*.json"))
SIZE_BYTES = 600_000
# What turns text into elements or code. The page's policy forbids the last three too.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|createContextualFragment|DOMParser|setHTML"
    r"|srcdoc|document\.write|\beval\b|new Function|javascript:"
)


def test_no_script_turns_text_into_elements_or_code() -> None:
    assert SCRIPTS
    assert {path.name: match for path in SCRIPTS if (match := FORBIDDEN.findall(path.read_text()))} == {}
    assert FORBIDDEN.findall("a.innerHTML = b; html`<p dangerouslySetInnerHTML=${b} />`; eval(b)")


def test_the_page_has_no_inline_code_and_no_other_address() -> None:
    page = (CONSOLE / "index.html").read_text()
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\bsrc=)|https?:", page)
    sheets = (CONSOLE / "style.css").read_text()
    assert not re.search(r"@import|url\(", sheets)


def test_each_vendor_module_has_the_hash_of_its_pin() -> None:
    pins = json.loads((CONSOLE / "vendor" / "versions.json").read_text())
    modules = {path.name: path.read_bytes() for path in (CONSOLE / "vendor").glob("*.mjs")}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in modules.items()} == {
        name: pin["sha256"] for name, pin in pins.items()
    }
    assert all(re.fullmatch(r"[a-z-]+@\d+\.\d+\.\d+", pin["package"]) for pin in pins.values())


def test_the_console_is_small_over_the_wire() -> None:
    served = [path for path in CONSOLE.rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in served) < SIZE_BYTES


def words_of(language: str) -> dict[str, Any]:
    return dict(json.loads((CONSOLE / "strings" / f"{language}.json").read_text()))


def placeholders(words: dict[str, Any]) -> dict[str, set[str]]:
    forms = {key: text if isinstance(text, dict) else {"": text} for key, text in words.items()}
    return {key: set(re.findall(r"{\w+}", " ".join(of.values()))) for key, of in forms.items()}


def test_the_choice_of_languages_is_that_of_the_files() -> None:
    named = re.findall(r'\b([a-z]{2}): "', (CONSOLE / "strings.js").read_text())
    assert sorted(named) == sorted(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_the_keys_placeholders_and_plurals_of_english(language: str) -> None:
    words, english = words_of(language), words_of("en")
    assert list(words) == list(english)
    assert placeholders(words) == placeholders(english)
    assert [isinstance(text, dict) for text in words.values()] == [
        isinstance(text, dict) for text in english.values()
    ]
    assert [key for key, text in words.items() if not text] == []


def test_the_style_has_no_side_that_a_language_from_right_to_left_would_mirror() -> None:
    sides = re.compile(
        r"(?:margin|padding|border)-(?:left|right)|text-align: (?:left|right)|[^-\w](?:left|right):"
    )
    assert sides.findall((CONSOLE / "style.css").read_text()) == []
    assert len(sides.findall("a { left: 0; margin-right: 1px; text-align: left; inset-inline-start: 0 }")) == 3


def test_each_text_has_its_words_and_no_words_are_unused() -> None:
    words = json.loads((CONSOLE / "strings" / "en.json").read_text())
    scripts = "\n".join(path.read_text() for path in SCRIPTS)
    named = set(re.findall(r'["`]([a-z_]+(?:\.[\w]+)*)["`]', scripts))
    prefixes = set(re.findall(r"`([a-z]+)\.\$\{", scripts))
    assert {key for key in re.findall(r'\bt\("([^"]+)"', scripts) if key not in words} == set()
    assert [key for key in words if key not in named and key.partition(".")[0] not in prefixes] == []


def test_each_status_and_reason_has_words() -> None:
    words = json.loads((CONSOLE / "strings" / "en.json").read_text())
    assert {f"status.{status}" for status in Status} <= words.keys()
    assert {f"reason.{reason}" for reason in Reason} <= words.keys()
