"""The console's files: no way to turn text into elements, pinned modules, words for each key."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from docwell.models import Reason, Status

CONSOLE = Path(__file__).parents[2] / "console"
SCRIPTS = sorted(CONSOLE.glob("*.js"))
LINES, CHARACTERS, SIZE_BYTES = 400, 115, 600_000
# What turns text into elements or code. The page's policy forbids the last three too.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|createContextualFragment|DOMParser|setHTML"
    r"|srcdoc|document\.write|\beval\b|new Function|javascript:"
)


def test_no_script_turns_text_into_elements_or_code() -> None:
    assert SCRIPTS
    assert {path.name: found for path in SCRIPTS if (found := FORBIDDEN.findall(path.read_text()))} == {}
    assert FORBIDDEN.findall("a.innerHTML = b; html`<p dangerouslySetInnerHTML=${b} />`; eval(b)")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= LINES
    assert [line for line in lines if len(line) > CHARACTERS] == []


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
