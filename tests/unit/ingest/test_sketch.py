"""The pieces of a range that stand in the overview, chosen from real kinds of pages in several languages."""

from __future__ import annotations

import pytest

from docwell.ingest.chunking import cut_pages
from docwell.ingest.outline import HEADINGS, STATEMENTS, Sketch
from docwell.models import Chunk, Heading, Page, Part
from tests.unit.fakes import FakeEmbedder

# Pages are between lines of three hyphens.
ENGLISH = """Annual Safety Report
Prepared by Jane Holt, March 2021
This report describes the safety of the harbour of Ostra in the year 2020. It lists all accidents.
The harbour office wrote it for the town council.
---
Accidents
Fourteen accidents happened in the harbour in 2020. Nine of them happened at night.
The safety of the harbour suffers from poor lamps. A crane fell into the water in May.
---
1 200 13 4 5 7.5 9 11 2 401 12 88 3.4 11 12 13"""
GERMAN = """Sicherheitsbericht
Von Jana Holt, März 2021
Dieser Bericht beschreibt die Sicherheit des Hafens von Ostra im Jahr 2020. Er nennt alle Unfälle.
Das Hafenamt hat ihn für den Rat der Stadt geschrieben.
---
Unfälle
Im Jahr 2020 geschahen im Hafen vierzehn Unfälle. Neun davon geschahen bei Nacht.
Die Sicherheit des Hafens leidet unter schlechten Lampen. Im Mai fiel ein Kran ins Wasser."""
CHINESE = """安全年报
简·霍尔特, 2021年3月
本报告介绍奥斯特拉港2020年的安全情况。报告列出了全部事故。港务局为市议会编写了本报告。
---
事故
2020年港口发生了十四起事故。其中九起发生在夜间。灯光不足影响了港口的安全。五月, 一台起重机落入水中。"""


OPENING_TOKENS = 30


@pytest.fixture(autouse=True)
def _short_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docwell.ingest.outline.OPENING_TOKENS", OPENING_TOKENS)


def pages_of(text: str, first: int = 1) -> list[Page]:
    return [Page(number, page) for number, page in enumerate(text.split("\n---\n"), first)]


class Characters(FakeEmbedder):
    """Makes a token of each character, for text without spaces."""

    def offsets(self, texts: list[str]) -> list[list[tuple[int, int]]]:  # type: ignore[override]
        return [[(place, place + 1) for place in range(len(text))] for text in texts]


def sketched(
    pages: list[Page], embedder: FakeEmbedder, *, opens: bool = True, tokens: int = 24
) -> tuple[Sketch, list[Chunk]]:
    sketch, chunks = Sketch(opens), list[Chunk]()
    for page, batch in cut_pages(pages, embedder, tokens):
        own = [chunk for chunk, _ in batch]
        sketch.add_page(page, own)
        parts = [chunk.text[start:end] for chunk, spans in batch for start, end in spans]
        sketch.add_chunks(batch, embedder.embed_queries([*(chunk.text for chunk in own), *parts]))
        chunks += own
    return sketch, chunks


def texts(sketch: Sketch, chunks: list[Chunk], part: Part) -> list[str]:
    marks = sorted(sketch.marks().items())
    return [chunks[number].text[m.start : m.end] for number, some in marks for m in some if m.part is part]


@pytest.mark.parametrize(
    ("said", "embedder"),
    [(ENGLISH, FakeEmbedder()), (GERMAN, FakeEmbedder()), (CHINESE, Characters())],
    ids=["English", "German", "Chinese"],
)
def test_the_overview_of_a_document_in_any_language_begins_as_it_does_and_says_whole_sentences(
    said: str, embedder: FakeEmbedder
) -> None:
    sketch, chunks = sketched(pages_of(said), embedder)
    opening = texts(sketch, chunks, Part.OPENING)
    assert opening == [chunk.text for chunk in chunks[: len(opening)]]
    tokens = [chunk.tokens for chunk in chunks[: len(opening)]]
    assert sum(tokens) >= OPENING_TOKENS > sum(tokens[:-1])
    statements = texts(sketch, chunks, Part.STATEMENT)
    assert 1 <= len(statements) <= STATEMENTS
    assert not set(statements) & set(opening)
    for statement in statements:
        assert statement in said


def test_a_table_of_figures_is_no_statement() -> None:
    sketch, chunks = sketched(pages_of(ENGLISH), FakeEmbedder())
    assert any(chunk.page == 3 for chunk in chunks)
    assert not any("401" in statement for statement in texts(sketch, chunks, Part.STATEMENT))


def test_a_statement_is_nearer_to_the_centroid_than_the_others_of_its_part() -> None:
    sentences = ["boats need lamps", "lamps for boats glow", "boats carry lamps", "cheese is yellow"] * STATEMENTS
    chunks = [Chunk(text, 1, 0, len(text), 3) for text in sentences]
    sketch = Sketch(opens=False)
    vectors = FakeEmbedder().embed_queries(sentences)
    sketch.add_chunks([(chunk, ()) for chunk in chunks], vectors)
    central = texts(sketch, chunks, Part.STATEMENT)
    assert len(central) == STATEMENTS
    assert "cheese is yellow" not in central


def test_a_row_of_a_table_is_a_statement_only_where_no_sentence_is() -> None:
    row = "boats: lamps | lamps: boats carry lamps"
    mixed, rows = ["cheese is yellow", row, row] * STATEMENTS, [row] * STATEMENTS
    sketch = Sketch(opens=False)
    chunks = [Chunk(text, 1, 0, len(text), 3) for text in [*mixed, *rows, *rows, *rows]]
    vectors = FakeEmbedder().embed_queries([chunk.text for chunk in chunks])
    sketch.add_chunks([(chunk, ()) for chunk in chunks], vectors)
    central = texts(sketch, chunks, Part.STATEMENT)
    assert central[: STATEMENTS // 2] == ["cheese is yellow"] * (STATEMENTS // 2)
    assert central[STATEMENTS // 2 :] == [row] * (STATEMENTS // 2)


def test_the_largest_headings_are_marked_once_with_their_pages() -> None:
    pages = [
        Page(
            number,
            f"Ostra Harbour Rules\nChapter {chr(64 + number)}\nBoats wait outside.",
            headings=(Heading("Ostra Harbour Rules", 30), Heading(f"Chapter {chr(64 + number)}", 20 - number)),
        )
        for number in range(1, HEADINGS + 4)
    ]
    sketch, chunks = sketched(pages, FakeEmbedder(), opens=False)
    largest = [f"Chapter {chr(64 + number)}" for number in range(1, HEADINGS)]
    assert texts(sketch, chunks, Part.HEADING) == ["Ostra Harbour Rules", *largest]


def test_a_range_that_is_not_the_first_has_no_opening_and_a_range_without_text_no_marks() -> None:
    pages = pages_of(ENGLISH, 51)
    sketch, chunks = sketched(pages, FakeEmbedder(), opens=False)
    assert texts(sketch, chunks, Part.OPENING) == []
    assert texts(sketch, chunks, Part.STATEMENT)
    assert sketched([Page(1, "")], FakeEmbedder())[0].marks() == {}


def test_the_marks_do_not_depend_on_the_batches() -> None:
    pages = pages_of(ENGLISH)
    embedder, whole = FakeEmbedder(), Sketch(opens=True)
    by_page, chunks = sketched(pages, embedder)
    batch = [one for _, own in cut_pages(pages, embedder, 24) for one in own]
    parts = [chunk.text[start:end] for chunk, spans in batch for start, end in spans]
    whole.add_chunks(batch, embedder.embed_queries([*(chunk.text for chunk in chunks), *parts]))
    assert whole.marks() == by_page.marks()
