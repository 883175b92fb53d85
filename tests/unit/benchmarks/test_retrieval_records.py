"""Making, caching and writing the records of `make eval-retrieval`, and the parts of ingest that it leaves out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.retrieval import index as writing
from benchmarks.retrieval.index import indexed
from benchmarks.retrieval.ingest_parts import VECTORS_WITHOUT, without_headings, without_neighbours
from benchmarks.retrieval.records import Part, Records
from docwell.models import Chunk, IndexRecord
from tests.unit.fakes import FakeEmbedder

TEXT = "\n".join(f"The boiler of house {number} is warm in winter and cold in summer." for number in range(30))
# The opening line of a page is embedded with all chunks but the first.
HEADED = "Boilers\n\n" + TEXT


class Counting(FakeEmbedder):
    def __init__(self) -> None:
        self.calls = 0

    def embed_passages(self, texts: Sequence[str]) -> Any:
        self.calls += 1
        return super().embed_passages(texts)


def parts(folder: Path, text: str, embedder: FakeEmbedder | None = None, chunk_tokens: int = 50) -> list[Part]:
    """Return the parts of one document."""
    path = folder / "a.md"
    path.write_text(text, encoding="utf-8")
    ((key, found),) = Records(embedder or FakeEmbedder(), "model", chunk_tokens, folder).of({"set/a.md": path})
    assert key == "set/a.md"
    return found


def chunks(part: Part) -> list[Chunk]:
    return [one.chunk for one in part.records]


def test_records_are_made_once(tmp_path: Path) -> None:
    first, again = Counting(), Counting()
    (made,), (kept,) = parts(tmp_path, TEXT, first), parts(tmp_path, TEXT, again)
    assert (first.calls > 0, again.calls) == (True, 0)
    assert kept.records == made.records
    assert np.array_equal(kept.vectors, made.vectors)
    assert len(made.records) > 5


@pytest.mark.parametrize(("text", "chunk_tokens"), [(TEXT + "!", 50), (TEXT, 60)])
def test_another_text_or_chunk_size_has_other_records(tmp_path: Path, text: str, chunk_tokens: int) -> None:
    before, again = parts(tmp_path, TEXT), Counting()
    after = parts(tmp_path, text, again, chunk_tokens)
    assert again.calls > 0
    assert after[0].records != before[0].records


def test_files_come_in_order_whatever_their_size(tmp_path: Path) -> None:
    files = {f"set/{number}.md": tmp_path / f"{number}.md" for number in range(3 * (os.cpu_count() or 1))}
    for number, path in enumerate(files.values()):
        path.write_text(TEXT if number % 3 == 0 else "Short.")
    found = Records(FakeEmbedder(), "model", 50, tmp_path).of(files)
    assert [(key, {one.document for one in own[0].records}) for key, own in found] == [
        (key, {key}) for key in files
    ]


def test_without_headings_only_headings_are_missing(tmp_path: Path) -> None:
    (plain,), (headed,) = parts(tmp_path, TEXT), parts(tmp_path, HEADED)
    assert without_headings(chunks(plain), FakeEmbedder()) == pytest.approx(plain.vectors)
    assert without_headings(chunks(headed), FakeEmbedder()) != pytest.approx(headed.vectors)


def test_without_neighbours_only_neighbours_are_missing(tmp_path: Path) -> None:
    """A chunk between two equal ones does not move, and keeps its heading."""
    (headed,) = parts(tmp_path, HEADED)
    alone = [chunks(headed)[-1]]
    assert without_neighbours(alone * 3, FakeEmbedder())[1] == pytest.approx(
        FakeEmbedder().embed_passages([f"Boilers\n{alone[0].text}"])[0]
    )
    assert without_neighbours(chunks(headed), FakeEmbedder()) != pytest.approx(headed.vectors)


@pytest.mark.parametrize("part", VECTORS_WITHOUT)
def test_an_empty_range_has_no_vectors(part: str) -> None:
    assert len(VECTORS_WITHOUT[part]([], FakeEmbedder())) == 0


class Index:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, list[IndexRecord]]] = []

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        self.writes.append((collection, list(records)))


def test_records_are_written_in_order_in_large_writes_with_the_vectors_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def part(key: str, count: int) -> Part:
        records = tuple(
            IndexRecord(f"{key}{number}", key, "g", "v", Chunk("text", 1, 0, 4, 1), []) for number in range(count)
        )
        return Part(records, np.ones((count, 4), dtype=np.float32))

    class Made:
        def __init__(self, *_: object) -> None: ...

        def of(self, files: dict[str, Path]) -> Iterator[tuple[str, list[Part]]]:
            yield from ((key, [part(key, 900), part(key, 300)]) for key in files)

    monkeypatch.setattr(writing, "Records", Made)
    embedder: Any = type("E", (), {"fingerprint": "model"})
    keys = ("a/1.md", "a/2.md", "b/1.md")
    for vectors, first in ((None, 1.0), (lambda some, _: np.zeros((len(some), 4), dtype=np.float32), 0.0)):
        index: Any = Index()
        generations, counts = indexed(dict.fromkeys(keys, Path()), index, embedder, 50, vectors)
        assert [(name, len(records)) for name, records in index.writes] == [
            ("a", 1000), ("a", 1000), ("a", 400), ("b", 1000), ("b", 200),
        ]  # fmt: skip
        written = [one for _, records in index.writes for one in records]
        assert [one.document for one in written] == [key for key in keys for _ in range(1200)]
        assert {tuple(one.vector) for one in written} == {(first,) * 4}
        assert (set(generations), counts) == (set(keys), dict.fromkeys(keys, 1200))
