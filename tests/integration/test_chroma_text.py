"""The search of the chunks' text, and reading by page, on a real Chroma server."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from docwell.errors import BadInput
from docwell.query.values import AMOUNTS, DATES, DEADLINES, EMAILS, KINDS, PERCENTAGES, YEARS
from tests.integration.test_chroma import collection, index, records

pytestmark = pytest.mark.integration
__all__ = ["collection"]


def test_all_chunks_of_some_documents_with_a_text_are_found_in_any_case_and_language(
    chroma_url: str, collection: str
) -> None:
    chroma = index(chroma_url)
    texts = [
        "The Huguenots came.",
        "HUGUENOT churches",
        "\u00c9COLE \u65e5\u672c\u8a9e",
        "nothing of it",
        "a+b (c)",
    ]
    for document in ("a.pdf", "b.pdf"):
        written = [
            replace(one, chunk=replace(one.chunk, text=text))
            for one, text in zip(records(len(texts), document=document), texts, strict=True)
        ]
        chroma.upsert(collection, written)

    def found(*beginnings: str, documents: tuple[str, ...] = ("a.pdf",), limit: int = 100) -> list[str]:
        hits = chroma.containing({collection: documents}, [re.escape(one) for one in beginnings], limit)
        assert {hit.document for hit in hits} <= set(documents)
        return sorted(hit.chunk.text for hit in hits)

    assert found("hugue") == sorted(texts[:2])
    assert found("hugue", "CHURCH") == [texts[1]]
    assert found("\u00e9co") == found("\u65e5\u672c") == [texts[2]]
    assert found("a+b (") == [texts[4]]
    assert found("zanz") == []
    assert len(found("hugue", documents=("a.pdf", "b.pdf"))) == 4
    assert len(found("hugue", documents=("a.pdf", "b.pdf"), limit=3)) == 3
    assert chroma.containing({f"{collection}/none": ["a.pdf"]}, ["hugue"], 10) == []


def test_the_chunks_that_can_have_a_kind_of_values_are_found(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    texts = [
        "On 5 May 2024.",
        "Within thirty DAYS.",
        "\u20ac 5",
        "five Euros",
        "five PERCENT",
        "a@b.example",
        "nothing",
    ]
    written = [
        replace(one, chunk=replace(one.chunk, text=text))
        for one, text in zip(records(len(texts), document="a.pdf"), texts, strict=True)
    ]
    chroma.upsert(collection, written)
    found = {
        kind: {hit.chunk.text for hit in chroma.containing({collection: ["a.pdf"]}, [kind.pattern], 100)}
        for kind in KINDS
    }
    assert found == {
        DATES: {texts[0], texts[2]},
        YEARS: {texts[0]},
        DEADLINES: {texts[0], texts[1], texts[2]},
        AMOUNTS: {texts[2], texts[3]},
        PERCENTAGES: {texts[4]},
        EMAILS: {texts[5]},
    }


def test_the_chunks_of_a_page_are_those_of_one_generation(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    home = collection.replace("/", "-")
    written = records(6, document=f"{home}/a.pdf")
    places = [(1, "g1"), (2, "g1"), (2, "g1"), (2, "g2"), (3, "g1"), (2, "g1")]
    chroma.upsert(
        home,
        [
            replace(one, chunk=replace(one.chunk, page=page), generation=generation)
            for one, (page, generation) in zip(written, places, strict=True)
        ],
    )
    found = {one.id for one in chroma.on_page(f"{home}/a.pdf", "g1", 2)}
    assert found == {written[number].id for number in (1, 2, 5)}
    assert chroma.on_page(f"{home}/a.pdf", "g3", 2) == []


def test_a_document_with_too_many_chunks_is_not_read_by_page(
    chroma_url: str, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma = index(chroma_url)
    home = collection.replace("/", "-")
    written = records(3, document=f"{home}/a.pdf")
    chroma.upsert(home, written)
    monkeypatch.setattr("docwell.adapters.chroma._MOST_READ", 2)
    with pytest.raises(BadInput, match="too long"):
        chroma.on_page(f"{home}/a.pdf", written[0].generation, 1)
