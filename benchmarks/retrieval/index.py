"""An index of the documents of the sets. docwell's ingest writes it, and later runs reuse it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docwell.models
from benchmarks.faults.servers import chroma_server
from benchmarks.reading import default_reader
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.config import IngestLimits, QuerySettings
from docwell.ingest.indexing import Generation, RangeIndexer
from docwell.ingest.ranges import Span
from docwell.models import Attributes, DocumentRef
from docwell.ports import LiveDocument
from infra.local.names import HOST
from infra.progress import bar
from infra.report import ROOT

CACHE = ROOT / "build" / "retrieval-cache"
# The modules of these folders, and the libraries, decide the index's content.
_CODE = ("", "adapters/documents", "adapters/embedding", "ingest", "text")
_LIBRARIES = ROOT / "requirements" / "dev.txt"
_VERSION = "v1"


@dataclass(frozen=True)
class Indexed:
    """A filled index, the embedder of questions, and the number of chunks of each document by its key."""

    index: ChromaIndex
    embedder: OnnxEmbedder
    chunks: Mapping[str, int]

    @property
    def catalogue(self) -> Any:
        """The query's catalogue, in which all documents are live."""
        fingerprint = self.embedder.manifest.fingerprint

        def described(keys: Sequence[str]) -> dict[str, LiveDocument]:
            indexed_keys = [key for key in keys if key in self.chunks]
            return {key: LiveDocument(_generation(key, fingerprint).id, Attributes()) for key in indexed_keys}

        return SimpleNamespace(described=described)


@contextmanager
def indexed(files: Mapping[str, Path], model: Path) -> Iterator[Indexed]:
    """Run a Chroma server during the block; index the files that no earlier run of this code has indexed.

    Delete `CACHE` when a file of the evaluation material changes.
    """
    embedder, limits = OnnxEmbedder(model), IngestLimits()
    folder = CACHE / _stamp(embedder.manifest.fingerprint)
    folder.mkdir(parents=True, exist_ok=True)
    ledger = folder / "chunks.json"
    chunks: dict[str, int] = json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else {}
    server, port = chroma_server(folder / "chroma")
    try:
        server.start()
        layout = Layout(embedder.manifest.fingerprint, limits.shards)
        kept_passages = int(QuerySettings.model_fields["kept_passages"].default)
        index = ChromaIndex(ChromaServer(f"http://{HOST}:{port}", timeout_s=60), layout, kept_passages)
        no_store: Any = None  # nothing is downloaded: the files are local
        indexer = RangeIndexer(no_store, index, embedder, default_reader(), limits)
        with bar("indexing", len(files)) as step:
            for key, path in files.items():
                step.say(key)
                if key not in chunks:
                    chunks[key] = _index(indexer, _generation(key, embedder.manifest.fingerprint), path)
                    ledger.write_text(json.dumps(chunks), encoding="utf-8")
                step()
        asking = OnnxEmbedder(model, 0, session_opener("onnxruntime"), for_questions=True)
        yield Indexed(index, asking, chunks)
    finally:
        server.kill()


def _index(indexer: RangeIndexer, generation: Generation, path: Path) -> int:
    """Index all ranges of a file and return the number of its chunks."""
    size, pages = indexer.limits.range_pages, indexer.reader.inspect(path).page_count
    spans = [Span(first, min(first + size - 1, pages)) for first in range(1, pages + 1, size)]
    return sum(
        indexer.run(generation, path, number, span, lambda: None).chunks for number, span in enumerate(spans)
    )


def _generation(key: str, fingerprint: str) -> Generation:
    ref = DocumentRef("evaluation", key)
    return Generation(ref, _VERSION, ref.generation(_VERSION, fingerprint))


def _stamp(fingerprint: str) -> str:
    package = Path(docwell.models.__file__).parent
    modules = [path for folder in _CODE for path in sorted((package / folder).glob("*.py"))]
    contents = b"".join(sha256(path.read_bytes()).digest() for path in (_LIBRARIES, *modules))
    return sha256(fingerprint.encode() + contents).hexdigest()[:16]
