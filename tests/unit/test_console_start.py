"""The start of the console and its requests: keys of links, an unreadable language, conditions, history, turns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.console_scripts import run_script

_LINK = """
const seen = [];
globalThis.history = { replaceState: (_, __, address) => seen.push(address) };
location.pathname = "/";
"""


@pytest.mark.parametrize(
    ("before", "offered", "after"),
    [
        ("", None, "new"),
        ('sessionStorage.setItem("docwell.key", "new");', None, "new"),
        ('sessionStorage.setItem("docwell.key", "mine");', "new", "mine"),
        ('sessionStorage.setItem("docwell.tokens", "{}");', "new", None),
    ],
    ids=["no caller", "the same key", "another key", "a sign-in"],
)
def test_a_link_with_a_key_replaces_no_caller(before: str, offered: str | None, after: str | None) -> None:
    found = run_script(f"""{_LINK}{before}
      location.hash = "#key=new&view=/documents";
      const {{ takeKey }} = await script("api.js");
      return [takeKey(), sessionStorage.getItem("docwell.key"), seen];
    """)
    assert found == [offered, after, ["/#/documents"]]


@pytest.mark.parametrize("copied", [" key-1 ", "\u200bkey-1\ufeff", "“key-1”", "key-1\n"])
def test_a_key_has_no_sign_that_a_copy_brought_along(copied: str) -> None:
    found = run_script(f"""
      const {{ setKey, call }} = await script("api.js");
      setKey({json.dumps(copied)});
      answer = async (_, {{ headers }}) => Response.json(new Headers(headers).get("x-api-key"));
      return await call("GET", "/v1/usage");
    """)
    assert found == "key-1"


@pytest.mark.parametrize(
    ("cited", "named"),
    [
        ({"page": 9, "page_label": None}, "page 9"),
        ({"page": 9}, "page 9"),
        ({"page": 9, "page_label": "9"}, "page 9"),
        ({"page": 9, "page_label": "vi"}, "page 9 (printed vi)"),
        ({"page": 1009, "page_label": ""}, "page 1009"),
        ({"page": 1, "page_label": "2", "unit": {"kind": "slide", "label": "slide 1"}}, "slide 1"),
    ],
)
def test_a_copy_names_the_place_as_the_page_does(cited: dict[str, Any], named: str) -> None:
    cited |= {"marker": 1, "document": "a.pdf", "display_quote": "It is."}
    copied, shown = run_script(f"""
      const {{ markdown, placeOf }} = await script("answer.js");
      const cited = {json.dumps(cited)};
      return [markdown("Is it?", {{ answer: "It is [1].", citations: [cited] }}), placeOf(cited)];
    """)
    assert shown == named
    assert copied.endswith(f"1. a.pdf, {named}: “It is.”")


@pytest.mark.parametrize(("pause_ms", "ended"), [(15_000, "answered"), (120_000, "cut_off")])
def test_a_stream_that_is_silent_for_a_minute_is_cut_off(pause_ms: int, ended: str) -> None:
    found = run_script(f"""
      const real = setTimeout;
      globalThis.setTimeout = (call, ms) => real(call, ms / 100);
      const bytes = (text) => new TextEncoder().encode(text);
      const pause = () => new Promise((resolve) => setTimeout(resolve, {pause_ms}));
      const body = new ReadableStream({{
        async start(stream) {{
          stream.enqueue(bytes(": waiting\\n\\n"));
          await pause();
          stream.enqueue(bytes('event: answer\\ndata: {{"status": "answered"}}\\n\\n'));
          await pause();
          stream.close();
        }},
      }});
      answer = async () => new Response(body, {{ headers: {{ "content-type": "text/event-stream" }} }});
      const {{ ask, setKey }} = await script("api.js");
      setKey("key");
      try {{
        let last;
        for await (const [, data] of ask({{ question: "why?" }})) last = data;
        return last.status;
      }} catch (error) {{
        return error.message;
      }}
    """)
    assert found == ended


def test_hidden_files_and_folders_of_a_drop_are_left_out() -> None:
    found = run_script("""
      const { dropped } = await script("files.js");
      const file = (name) => ({ name, isFile: true, file: (resolve) => resolve({ name }) });
      const folder = (name, ...entries) => ({
        name, createReader: () => ({ readEntries: (resolve) => resolve(entries.splice(0)) }),
      });
      const papers = folder("papers", file("a.pdf"), file("._a.pdf"), folder(".git", file("config")));
      const items = [papers, folder(".venv", file("x.txt")), file("b.pdf"), file(".env")];
      const transfer = { items: items.map((one) => ({ webkitGetAsEntry: () => one })) };
      return (await dropped(transfer)).map((one) => one.path);
    """)
    assert found == ["papers/a.pdf", "b.pdf"]


@pytest.mark.parametrize("answer", ["<Error/>", '{"title": "Forbidden"}'])
def test_a_language_that_cannot_be_read_gives_way_to_english(answer: str) -> None:
    found = run_script(f"""
      navigator.languages.unshift("de-DE");
      const read = fetch;
      Object.defineProperty(globalThis, "fetch", {{ value: async (name) =>
        String(name).endsWith("de.json") ? new Response('{answer}', {{ status: 403 }}) : read(name) }});
      const {{ language, t }} = await script("strings.js");
      return [language(), t("nav.ask")];
    """)
    assert found == ["en", "Ask"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"prefix": "  ", "title": ""}, None),
        (
            {"prefix": " a/ ", "created_from": "2026-01-02", "author": ""},
            {"prefix": "a/", "created_from": "2026-01-02"},
        ),
    ],
)
def test_only_conditions_with_a_value_are_sent(fields: dict[str, str], expected: Any) -> None:
    found = run_script(f"""
      const {{ filterOf }} = await script("filters.js");
      return filterOf({fields}) ?? null;
    """)
    assert found == expected


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ("answered('a'), { question: 'stopped' }, answered('b'), { question: 'failed', failure: {} }", "ab"),
        ("answered('a'), answered('b', ' ')", "a"),
        ("answered('a'), answered('and then?', 'B', 'b'), answered('c', 'C', null)", "abc"),
        ("answered('a', 'long'.repeat(1500)), answered('b')", "b"),
        ("...[...'abcdefg'].map((one) => answered(one))", "cdefg"),
    ],
    ids=["without an answer", "without words", "follow-up", "too long", "too many"],
)
def test_the_history_has_the_last_answers_to_questions_that_stand_alone(turns: str, expected: str) -> None:
    found = run_script(f"""
      const {{ history }} = await script("answer.js");
      const answered = (question, answer = "A", rewritten_question = undefined) =>
        ({{ question, answer: {{ answer, rewritten_question }} }});
      return history([{turns}]);
    """)
    assert "".join(turn["question"] for turn in found) == expected
    assert all(turn["answer"].strip() for turn in found)


def test_each_working_document_has_its_turn_and_few_are_asked_for_at_once() -> None:
    turns = run_script("""
      const { nextOf } = await script("documents.js");
      const working = Array.from({ length: 12 }, (_, number) => number);
      return [[], [7], working].map((some) => [0, 5, 10, 15].map((turn) => nextOf(some, turn)));
    """)
    assert turns[:2] == [[[]] * 4, [[7]] * 4]
    assert turns[2] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 0, 1, 2], [3, 4, 5, 6, 7]]
