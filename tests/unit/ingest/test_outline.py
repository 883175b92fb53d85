"""Section paths from the lines that typography sets off, and the headings of chunks."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from docwell.ingest.chunking import cut_pages
from docwell.ingest.outline import HEADINGS, STATEMENTS, Outline, Sketch, shown
from docwell.models import Chunk, Heading, Page, Part
from tests.unit.cases import rows
from tests.unit.fakes import FakeEmbedder
from tests.unit.ingest.ingest_world import KEY, World

TITLE, SECTION = 20.0, 14.0


def page(number: int, text: str, **sizes: float) -> Page:
    """A page with these headings; `_` is a blank."""
    found = tuple(Heading(name.replace("_", " "), size) for name, size in sizes.items())
    return Page(number, text, headings=found)


def paths(*pages: Page) -> list[tuple[str, ...]]:
    outline = Outline()
    return [section.path for one in pages for section in outline.read(one)]


def chunks_of(pages: list[Page], limit: int = 16) -> list[Chunk]:
    return [chunk for _, chunks in cut_pages(pages, FakeEmbedder(), limit) for chunk, _ in chunks]


@pytest.mark.parametrize(("pages", "expected"), rows(__file__, "outline_paths"))
def test_the_headings_of_pages_make_the_paths_of_sections(pages: list[Any], expected: list[list[str]]) -> None:
    found = paths(*(page(number, text, **sizes) for number, text, sizes in pages))
    assert list(map(list, found)) == expected


def test_a_chunk_has_the_path_over_it_without_its_own_first_line() -> None:
    text = "Report\n" + "word " * 12 + "\nEnds\n" + "other " * 12
    found = chunks_of([page(1, text, Report=TITLE, Ends=SECTION)])
    assert [(chunk.text.split()[0], chunk.heading) for chunk in found] == [("Report", ""), ("Ends", "Report")]
    later = chunks_of([page(1, text, Report=TITLE, Ends=SECTION), Page(2, "more")])
    assert later[-1].heading == "Report > Ends"


def test_a_heading_has_the_last_three_levels_of_its_path_and_then_the_opening() -> None:
    assert shown(["Report", "Results", "Revenue", "Europe"]) == "Results > Revenue > Europe"
    assert shown(["Assets"], ["Acme", "Balance Sheet"]) == "Assets > Acme Balance Sheet"


ROWS = ["Cash and what is held as cash 1 2", "Debts that others are to pay us 3 4", "Goods that wait for sale 5 6"]


@pytest.mark.parametrize(("opening", "heading"), rows(__file__, "outline_openings"))
def test_the_short_lines_that_a_page_opens_with_are_the_heading_of_its_other_chunks(
    opening: list[str], heading: str
) -> None:
    first, *others = (chunk.heading for chunk in chunks_of([Page(1, "\n".join([*opening, *ROWS]))]))
    assert (first, set(others)) == ("", {heading})


def test_a_chunk_ends_before_a_heading_that_only_its_type_sets_off() -> None:
    text = "one two three four five six\nEnds as they were seen by all\nsix seven eight nine ten eleven twelve"
    first = chunks_of([page(1, text, Ends_as_they_were_seen_by_all=SECTION)], 10)[0]
    assert first.text == "one two three four five six"


DOCUMENTS: dict[str, str] = tomllib.loads(Path(__file__).with_name("outline.toml").read_text("utf-8"))


OPENING_TOKENS = 30


@pytest.fixture
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


@pytest.mark.usefixtures("_short_opening")
@pytest.mark.parametrize(
    ("language", "embedder"),
    [("English", FakeEmbedder()), ("German", FakeEmbedder()), ("Chinese", Characters())],
)
def test_an_overview_in_any_language_begins_like_its_document_and_has_whole_sentences(
    language: str, embedder: FakeEmbedder
) -> None:
    sketch, chunks = sketched(pages_of(DOCUMENTS[language]), embedder)
    opening = texts(sketch, chunks, Part.OPENING)
    assert opening == [chunk.text for chunk in chunks[: len(opening)]]
    tokens = [chunk.tokens for chunk in chunks[: len(opening)]]
    assert sum(tokens) >= OPENING_TOKENS > sum(tokens[:-1])
    statements = texts(sketch, chunks, Part.STATEMENT)
    assert 1 <= len(statements) <= STATEMENTS
    assert not set(statements) & set(opening)
    for statement in statements:
        assert statement in DOCUMENTS[language]


@pytest.mark.usefixtures("_short_opening")
def test_a_table_of_figures_is_no_statement() -> None:
    sketch, chunks = sketched(pages_of(DOCUMENTS["English"]), FakeEmbedder())
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


@pytest.mark.usefixtures("_short_opening")
def test_a_range_that_is_not_the_first_has_no_opening_and_a_range_without_text_no_marks() -> None:
    pages = pages_of(DOCUMENTS["English"], 51)
    sketch, chunks = sketched(pages, FakeEmbedder(), opens=False)
    assert texts(sketch, chunks, Part.OPENING) == []
    assert texts(sketch, chunks, Part.STATEMENT)
    assert sketched([Page(1, "")], FakeEmbedder())[0].marks() == {}


@pytest.mark.usefixtures("_short_opening")
def test_the_marks_do_not_depend_on_the_batches() -> None:
    pages = pages_of(DOCUMENTS["English"])
    embedder, whole = FakeEmbedder(), Sketch(opens=True)
    by_page, chunks = sketched(pages, embedder)
    batch = [one for _, own in cut_pages(pages, embedder, 24) for one in own]
    parts = [chunk.text[start:end] for chunk, spans in batch for start, end in spans]
    whole.add_chunks(batch, embedder.embed_queries([*(chunk.text for chunk in chunks), *parts]))
    assert whole.marks() == by_page.marks()


OLD = "\f".join(f"The old pump {number} hums in the cellar of house {chr(97 + number)}." for number in range(7))
NEW = "\f".join(f"A new lamp {number} shines on the roof of tower {chr(97 + number)}." for number in range(5))


def overview(world: World) -> list[str]:
    """Return the pieces of the live generation's overview."""
    live = world.ledger.records[KEY].live_generation
    if live is None:
        return []
    return [p.chunk.text[m.start : m.end] for p, marks in world.index.marked(KEY, live) for m in marks]


def is_clean(world: World) -> bool:
    """Whether every mark is of a chunk, and every chunk is counted: an overview adds no record to the index."""
    ids = {record.id for record in world.index.of(KEY)}
    record = world.ledger.records[KEY]
    return set(world.index.marks) <= ids and len(ids) == (record.chunks if record.live_generation else 0)


@pytest.mark.parametrize(("range_pages", "opening"), [(2, 2), (50, 7)])
def test_the_overview_has_all_ranges_of_a_document_and_only_its_live_version(
    range_pages: int, opening: int
) -> None:
    world = World(range_pages=range_pages)
    for text in (OLD, NEW):
        world.store.put(KEY, text)
        world.ingest.observe(KEY)
        world.update()
        world.work_off()
        pieces = " ".join(overview(world))
        assert all(f"old pump {number}" in pieces for number in range(7)) == (text == OLD)
        assert ("new lamp" in pieces) == (text == NEW)
        assert is_clean(world)
        marks = [mark for piece_marks in world.index.marks.values() for mark in piece_marks]
        assert [mark.part for mark in marks].count(Part.OPENING) == min(opening, 5 if text == NEW else 7)
