"""The console's scripts without a browser: quotes on a page, sign-in, keys, history, languages."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from docwell.models import Reason, Status
from tests.unit.cases import rows
from tests.unit.console_scripts import run_script

QUOTES, CASES = (
    tomllib.loads(Path(__file__).with_name(f"console_{name}.toml").read_text("utf-8"))["case"]
    for name in ("quotes", "cases")
)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_script_gives_the_result_of_its_case(case: dict[str, Any]) -> None:
    assert run_script(case["script"]) == json.loads(case["result"])


def test_a_quote_is_marked_by_its_letters_and_digits_and_no_other_sentence_is() -> None:
    calls = [[case["strings"], case["quote"]] for case in QUOTES]
    whole = [[case["strings"], "".join(case["strings"])] for case in QUOTES]
    ranges: Any = run_script(f"""
      const {{ find }} = await script("quote.js");
      return {json.dumps(calls + whole)}.map((call) => find(...call));
    """)
    for case, spans in zip(QUOTES, ranges, strict=False):
        marked = [case["strings"][span["index"]][span["start"] : span["end"]] for span in spans]
        assert marked == case["marked"], case["quote"]
    assert all(ranges[len(QUOTES) :])  # the words of each page are found


# --- sign-in ---
# A sign-in whose token has to be renewed.
_OLD = """
const kept = { access: "old", refresh: "r1", ends: Date.now() };
sessionStorage.setItem("docwell.tokens", JSON.stringify(kept));
const { accessToken, forgetTokens, isSignedIn, signOut } = await script("sign-in.js");
"""


@pytest.mark.parametrize(
    ("status", "failed", "words"),
    [(400, 401, "Your sign-in has ended. Sign in again."), (429, 0, "unreachable"), (503, 0, "unreachable")],
)
def test_only_a_refusal_ends_a_sign_in(status: int, failed: int, words: str) -> None:
    result = run_script(f"""{_OLD}
      answer = async () => Response.json({{ error: "invalid_grant" }}, {{ status: {status} }});
      return accessToken().catch((error) => [error.status, error.message]);
    """)
    assert result == [failed, words]


# --- the start and its requests ---

_LINK = """
const seen = [];
globalThis.history = { replaceState: (_, __, address) => seen.push(address) };
location.pathname = "/";
"""


@pytest.mark.parametrize(("pool", "before", "offered", "after"), rows(__file__, "key_links"))
def test_a_link_with_a_key_replaces_no_caller_of_the_tab_or_the_browser(
    pool: str, before: str, offered: str | None, after: str | None
) -> None:
    result = run_script(f"""{_LINK}
      files["config.json"] = "{pool}" ? files["config.json"] : "{{}}";
      const {{ setKey, takeKey }} = await script("api.js");
      {before}
      location.hash = "#key=new&view=/documents";
      return [await takeKey(), sessionStorage.getItem("docwell.key"), seen];
    """)
    assert result == [offered, after, ["/#/documents"]]


@pytest.mark.parametrize("copied", [" key-1 ", "\u200bkey-1\ufeff", "“key-1”", "key-1\n"])
def test_a_key_has_no_sign_that_a_copy_brought_along(copied: str) -> None:
    result = run_script(f"""
      const {{ setKey, call }} = await script("api.js");
      await setKey({json.dumps(copied)});
      answer = async (_, {{ headers }}) => Response.json(new Headers(headers).get("x-api-key"));
      return await call("GET", "/v1/usage");
    """)
    assert result == "key-1"


@pytest.mark.parametrize(("pause_ms", "ended"), [(15_000, "answered"), (120_000, "cut_off")])
def test_a_stream_that_is_silent_for_a_minute_is_cut_off(pause_ms: int, ended: str) -> None:
    result = run_script(f"""
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
    assert result == ended


@pytest.mark.parametrize(("turns", "expected"), rows(__file__, "histories"))
def test_the_history_has_the_last_answers_to_questions_that_stand_alone(turns: str, expected: str) -> None:
    result = run_script(f"""
      const {{ history }} = await script("answer.js");
      const answered = (question, answer = "A", rewritten_question = undefined) =>
        ({{ question, answer: {{ answer, rewritten_question }} }});
      return history([{turns}]);
    """)
    assert "".join(turn["question"] for turn in result) == expected
    assert all(turn["answer"].strip() for turn in result)


# --- the files of the console ---

CONSOLE = Path(__file__).parents[2] / "console"
SCRIPTS = sorted(CONSOLE.glob("*.js"))
LANGUAGES = sorted(path.stem for path in (CONSOLE / "strings").glob("*.json"))
# Of the first visit: pdf.js comes with the first PDF, and one language of six.
SIZE_BYTES = 80_000
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
    served = [*CONSOLE.glob("*.*"), CONSOLE / "vendor" / "htm-preact.mjs", CONSOLE / "strings" / "ar.json"]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in served) < SIZE_BYTES


def words_of(language: str) -> dict[str, Any]:
    return dict(json.loads((CONSOLE / "strings" / f"{language}.json").read_text()))


def placeholders(words: dict[str, Any]) -> dict[str, set[str]]:
    forms = {key: text if isinstance(text, dict) else {"": text} for key, text in words.items()}
    return {key: set(re.findall(r"{\w+}", " ".join(of.values()))) for key, of in forms.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_the_keys_placeholders_and_plurals_of_english(language: str) -> None:
    words, english = words_of(language), words_of("en")
    assert list(words) == list(english)
    assert f'{language}: "' in (CONSOLE / "strings.js").read_text()  # the page offers it
    assert placeholders(words) == placeholders(english)
    assert [isinstance(text, dict) for text in words.values()] == [
        isinstance(text, dict) for text in english.values()
    ]
    assert [key for key, text in words.items() if not text] == []
    forms = run_script(f"return new Intl.PluralRules('{language}').resolvedOptions().pluralCategories;")
    assert all(text.keys() == set(forms) for text in words.values() if isinstance(text, dict))


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
