"""Makes the index records of files with docwell's own ingest, and caches them for the next run.

A record is made again when its file, the code of ingest or a library changes.
"""

import os
import pickle
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

import docwell.models
from benchmarks.reading import default_reader
from docwell.config import IngestLimits
from docwell.ingest.indexing import Generation, RangeIndexer
from docwell.ingest.ranges import Span
from docwell.models import DocumentInfo, DocumentRef, IndexRecord, Page
from docwell.ports import Embedder
from infra.report import ROOT

CACHE = ROOT / "build" / "retrieval-cache"
_VERSION = "v1"
# These folders of the package, with the modules beside them, decide what a record holds, and so do the libraries.
_CODE = ("", "adapters/documents", "adapters/embedding", "ingest", "text")
_LIBRARIES = ROOT / "requirements" / "dev.txt"


class TextOrPdfReader:
    """Reads PDFs as ingest does, and a text file as a document of one page."""

    def __init__(self) -> None:
        self._pdfs = default_reader()

    def inspect(self, path: Path) -> DocumentInfo:
        return self._pdfs.inspect(path) if _is_pdf(path) else DocumentInfo(1)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        if _is_pdf(path):
            yield from self._pdfs.pages(path, first, last)
        else:
            yield Page(1, path.read_text(encoding="utf-8"))


def _is_pdf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(5) == b"%PDF-"


def generation_of(key: str, fingerprint: str) -> Generation:
    """Return the generation of a document's records."""
    ref = DocumentRef("evaluation", key)
    return Generation(ref, _VERSION, ref.generation(_VERSION, fingerprint))


class Records:
    """Makes and caches the records of files for one embedding model. `embedder` must be thread-safe."""

    def __init__(
        self, embedder: Embedder, fingerprint: str, limits: IngestLimits | None = None, folder: Path = CACHE
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._embedder, self._fingerprint = embedder, fingerprint
        self._limits = limits or IngestLimits()
        self._rows = sqlite3.connect(folder / "records2.sqlite3", timeout=60, check_same_thread=False)
        self._rows.execute(
            "CREATE TABLE IF NOT EXISTS records (document TEXT, model TEXT, chunk_tokens INTEGER, stamp BLOB,"
            " written BLOB, PRIMARY KEY (document, model, chunk_tokens))"
        )
        self._lock = Lock()

    def of(self, files: Mapping[str, Path]) -> Iterator[tuple[str, list[IndexRecord]]]:
        """Yield the key of each file, in order, with its records. Files are read in parallel."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from zip(files, pool.map(self._records, files, files.values()), strict=True)

    def _records(self, key: str, path: Path) -> list[IndexRecord]:
        row = (key, self._fingerprint, self._limits.chunk_tokens)
        stamp = sha256(_code() + path.read_bytes()).digest()
        with self._lock:
            found = self._rows.execute(
                "SELECT written FROM records WHERE document = ? AND model = ? AND chunk_tokens = ? AND stamp = ?",
                (*row, stamp),
            ).fetchone()
        if found:
            records: list[IndexRecord] = pickle.loads(found[0])  # noqa: S301 - this class wrote it
            return records
        records = self._made(key, path)
        with self._lock, self._rows:
            self._rows.execute(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", (*row, stamp, pickle.dumps(records))
            )
        return records

    def _made(self, key: str, path: Path) -> list[IndexRecord]:
        written = _Written()
        index: Any = written
        no_store: Any = None  # the files are here: nothing is downloaded
        indexer = RangeIndexer(no_store, index, self._embedder, TextOrPdfReader(), self._limits)
        generation, size = generation_of(key, self._fingerprint), self._limits.range_pages
        pages = indexer.reader.inspect(path).page_count
        for number, first in enumerate(range(1, pages + 1, size)):
            indexer.run(generation, path, number, Span(first, min(first + size - 1, pages)), lambda: None)
        return written.records


class _Written:
    """An index that only keeps what is written."""

    def __init__(self) -> None:
        self.records: list[IndexRecord] = []

    def upsert(self, _collection: str, records: Sequence[IndexRecord]) -> None:
        self.records += records

    def mark(self, _collection: str, _marks: object) -> None:
        """Keep no marks: an overview is not measured here."""


@cache
def _code() -> bytes:
    package = Path(docwell.models.__file__).parent
    modules = [path for folder in _CODE for path in sorted((package / folder).glob("*.py"))]
    files = [Path(__file__), _LIBRARIES, *modules]
    return b"".join(sha256(path.read_bytes()).digest() for path in files)
