"""At every door, each quote, likely sentence and link is verbatim in the document, page and unit that it names."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import Mock
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docwell.cli import display
from docwell.config import QueryLimits
from docwell.identity import ORIGIN_HEADER
from docwell.ingest.chunking import cut_pages
from docwell.models import CitationUnit, DocumentRecord, IndexRecord, Mark, Page, Part, Status, UnitKind
from docwell.text.lexicon import statements
from tests.unit.conftest import HttpWorld, wired_world
from tests.unit.console_scripts import run_script
from tests.unit.http.http_calls import begin, call, events_of
from tests.unit.ingest.test_chunking import WordPieces

CONSOLE = "https://d1.cloudfront.net"
THINGS = ("pump", "boiler", "roof", "gate", "lamp", "cellar")
KEYS = ("house/a.pdf", "house/b.xlsx", "yard/[1] c.pdf", "yard/d & e.xlsx")
QUESTIONS = {"passages": "When was the {} painted?", "list": 'Which documents mention "{}"?'}
QUESTIONS |= {"compare": QUESTIONS["passages"], "overview": "What is said of the {}?"}
Shown = dict[str, Any]


@dataclass
class Library:
    """The text of each page by document and number. No sentence is on two pages."""

    pages: dict[tuple[str, int], Page]

    def check(self, shown: Shown, *quotes: str) -> None:
        """Check that the quotes of a citation, hit or passage are where it says."""
        page = self.pages[shown["document"], shown["page"]]
        units = [
            unit.label
            for start, unit in page.citation_units
            for text in [page.text[start:]]
            for quote in quotes
            if letters(text).startswith(letters(quote))
        ]
        assert all(letters(quote) in letters(page.text) for quote in quotes)
        if page.citation_units and quotes:
            assert shown["unit"]["label"] in units
        if "start" in shown:
            assert letters(page.text[shown["start"] : shown["end"]]) == letters(shown["quote"])
        if link := shown.get("link"):
            self.check_link(link, shown)

    def check_link(self, link: str, shown: Shown) -> None:
        """Check that a link opens the place of a citation: in the console, or the file at its page."""
        console, separator, query = link.partition("/#/source?")
        if not separator:
            assert unquote(link).startswith(f"https://bucket/{shown['document']}?")
            assert link.endswith(f"#{shown['unit']['anchor']}")
            return
        source = dict(parse_qsl(query, strict_parsing=True))
        assert (console, source["document"], int(source["page"])) == (CONSOLE, shown["document"], shown["page"])
        self.check(shown | {"link": None}, source["quote"])

    def check_answer(self, answer: Shown) -> None:
        """Check an answer's citations, and that its markers name them."""
        for citation in answer["citations"]:
            self.check(citation, citation["quote"], citation["display_quote"])
        if answer["citations"]:
            markers = {int(marker) for marker in re.findall(r"\[(\d+)\]", answer["answer"])}
            assert markers == {citation["marker"] for citation in answer["citations"]}


def letters(text: str) -> str:
    return " ".join(text.split())


def filled(world: HttpWorld, contents: Mapping[tuple[str, int], list[str]]) -> Library:
    """Index the pages in several chunks each, those of spreadsheets with a unit for each sentence."""
    world.ledger.records.clear()
    world.index.chunks.clear()
    number, pages = 0, {}
    for (key, page_number), things in contents.items():
        text, starts = "", []
        for thing in things:
            number += 1
            starts.append(len(text))
            text += f"The {thing} of house {number} was painted by Ada in spring.{' ' if number % 2 else chr(10)}"
        labels = [f"Sheet{page_number}!A{row}" for row, _ in enumerate(starts, 1)]
        units = tuple(
            (start, CitationUnit(UnitKind.RANGE, label, label))
            for start, label in zip(starts, labels, strict=True)
        )
        pages[key, page_number] = Page(
            page_number, text.rstrip(), citation_units=units if key.endswith("xlsx") else ()
        )
    for (key, page_number), page in pages.items():
        for _, chunks in cut_pages([page], WordPieces(), 40):
            records = [
                IndexRecord(f"{key}-{page_number}-{place}", key, "live", "v1", chunk, vector, marks=marks)
                for place, (chunk, _) in enumerate(chunks)
                for marks in [tuple(Mark(Part.STATEMENT, *span) for span in statements(chunk.text))]
                for vector in [world.embedder.embed_passages([chunk.text])[0].tolist()]
            ]
            world.index.upsert(key.partition("/")[0], records)
        world.ledger.records[key] = DocumentRecord(key, Status.INDEXED, live_generation="live", live_version="v1")
    return Library(pages)


places_of = st.tuples(st.sampled_from(KEYS), st.integers(1, 3))
contents_of = st.dictionaries(places_of, st.lists(st.sampled_from(THINGS), min_size=1, max_size=6), min_size=2)


def asked(world: HttpWorld, library: Library, data: st.DataObject) -> dict[str, Any]:
    """Let the model say some sentences with any markers; return a question."""
    sentences = [line for page in library.pages.values() for line in re.findall(r"The .*?\.", page.text)]
    said = data.draw(st.lists(st.tuples(st.sampled_from(sentences), st.integers(1, 6)), min_size=1, max_size=4))
    world.model.says = world.row_model.says = " ".join(f"{text[:-1]} [{marker}]." for text, marker in said)
    limits = QueryLimits(passage_tokens=data.draw(st.sampled_from([None, 100, 150])))
    world.query = replace(world.query, limits=limits)
    keys = sorted(world.ledger.records)
    mode = data.draw(st.sampled_from([mode for mode in QUESTIONS if mode != "compare" or len(keys) > 1]))
    question = QUESTIONS[mode].format(data.draw(st.sampled_from(THINGS)))
    document = {"document": data.draw(st.sampled_from(keys))} if mode == "overview" else {}
    return {"question": question, "top_k": data.draw(st.integers(1, 6)), "mode": mode} | document


def streamed(world: HttpWorld, body: dict[str, Any]) -> list[tuple[str, Any]]:
    return events_of(begin(body | {"stream": True}))


@pytest.fixture(scope="module")
def doors() -> Iterator[HttpWorld]:
    with pytest.MonkeyPatch.context() as patch:
        yield wired_world(patch)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(contents=contents_of, data=st.data())
def test_each_place_is_carried_to_every_door(
    doors: HttpWorld, contents: dict[tuple[str, int], list[str]], data: st.DataObject
) -> None:
    library = filled(doors, contents)
    body = asked(doors, library, data)
    events = streamed(doors, body)
    for passage in (passage for name, shown in events if name == "passages" for passage in shown["passages"]):
        library.check(passage, *filter(None, [passage["likely"]]))
        library.check(passage | {"unit": None} if passage["likely"] else passage)
        assert letters(passage["text"]) in letters(library.pages[passage["document"], passage["page"]].text)
    answer = events[-1][1]
    library.check_answer(answer)
    check_terminal(library, events)
    library.check_answer(call("GET", f"/v1/receipts/{answer['request_id']}")[1]["answer"])
    for hit in call("POST", "/v1/search", {name: value for name, value in body.items() if name != "mode"})[1][
        "passages"
    ]:
        library.check(hit, hit["quote"], hit["display_quote"])
    origins: tuple[dict[str, str], ...] = ({}, {ORIGIN_HEADER: CONSOLE})
    for origin in origins:
        tool = {"name": "ask", "arguments": body}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": tool}
        result = call("POST", "/v1/mcp", message, **origin)[1]["result"]
        library.check_answer(result["structuredContent"])
        chat = {"model": "docwell", "messages": [{"role": "user", "content": body["question"]}]}
        answer = call("POST", "/v1/chat/completions", chat, **origin)[1]["choices"][0]["message"]
        check_chat(library, answer)


def check_chat(library: Library, message: Shown) -> None:
    """Check that an annotation is at the marker of its source, and that the source has the quote of its link."""
    source = re.compile(r"^(\d+)\. \[.*\]\((.*)\): “(.*)”$", re.MULTILINE)
    sources = {f"[{marker}]": (unquote(url), quote) for marker, url, quote in source.findall(message["content"])}
    assert len(sources) == len(message["annotations"])
    for annotation in message["annotations"]:
        place = annotation["url_citation"]
        url, quote = sources[message["content"][place["start_index"] : place["end_index"]]]
        document = next(key for key, _ in library.pages if place["title"].startswith(key))
        number = re.search(r"(?:, page |, Sheet)(\d)", place["title"].removeprefix(document))
        assert unquote(place["url"]) == url
        assert number
        assert quote in letters(library.pages[document, int(number[1])].text)


def check_terminal(library: Library, events: list[tuple[str, Any]]) -> None:
    """Check the places and the quotes that `docwell ask` prints."""
    out = io.StringIO()
    with redirect_stdout(out):
        growing = display.GrowingAnswer(display.console(), Mock())
        for name, shown in events:
            if name == "passages":
                growing.show_passages(shown["passages"])
        display.show_citations(events[-1][1]["citations"])
    printed = re.findall(
        r"^(?:found|\[\d+\]) (.*), (?:page |Sheet)(\d)(.*)\n +“(.*)”$", out.getvalue(), re.MULTILINE
    )
    assert len(printed) >= len(events[-1][1]["citations"])
    for document, number, _, quote in printed:
        assert quote in letters(library.pages[document, int(number)].text)


def test_the_console_opens_each_passage_and_quote_where_it_stands(doors: HttpWorld) -> None:
    library = filled(doors, {(key, page): [*THINGS] for key in KEYS for page in (1, 2)})
    doors.query = replace(doors.query, limits=QueryLimits())
    doors.model.says = "The lamp of house 5 was painted by Ada in spring [1]."
    events = streamed(doors, {"question": QUESTIONS["passages"].format("lamp")})
    shown = [*events[0][1]["passages"], *events[-1][1]["citations"]]
    texts = [library.pages[one["document"], one["page"]].text for one in shown]
    assert len(shown) > 3
    opened: Any = run_script(f"""
      const {{ sourceOf }} = await script("answer.js");
      const {{ find }} = await script("quote.js");
      const texts = {json.dumps(texts)};
      return {json.dumps(shown)}.map(sourceOf).map((one, at) => [one, find([texts[at]], one.quote).length]);
    """)
    for place, (source, found) in zip(shown, opened, strict=True):
        quote = place.get("display_quote") or place["likely"] or place["text"]
        label = None if place["unit"]["kind"] == "page" else place["unit"]["label"]
        assert (source["document"], source["page"], source["place"]) == (place["document"], place["page"], label)
        assert letters(source["quote"]) == letters(quote)
        assert found == 1
