"""A reader that asks while faults run, and checks every answer against all uploads."""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Self

from benchmarks.faults.compare import SHARDS, PipelinePlace
from benchmarks.faults.documents import question, text_of
from benchmarks.faults.world import TABLE, World
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.errors import Unavailable
from docwell.identity import Principal
from docwell.models import Passage, Status
from docwell.pipeline import ACTIVE_PIPELINE
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope

_PAUSE_S = 0.05
# A deleted or replaced document stops answering in this time, whatever workers die.
HIDDEN_WITHIN_S = 60.0
_EVERYBODY = Principal("key:reader", collections=None)


class _Index(NamedTuple):
    """The query's parts for one pipeline."""

    catalogue: DynamoLedger
    retrieval: Retrieval
    embedder: OnnxEmbedder


class _Outdated(NamedTuple):
    """An answer that showed a version which the bucket no longer had when it was asked for."""

    key: str
    asked_at: float
    changed_at: float


class Reader:
    """Asks in a thread from `__enter__` to `__exit__`.

    `wrong` has a line for every answer that mixes generations, shows a document whose deletion is settled, or has
    a text that is not on its page; `unavailable` counts the typed errors.
    An outdated answer is wrong where it was asked for after the end of a delivery of the change, or too long after
    the change: `__exit__` adds these.
    """

    def __init__(self, world: World, seed: str) -> None:
        """Open the index of each pipeline; asking begins in `__enter__`."""
        self.wrong: list[str] = []
        self.asked = 0
        self.unavailable = 0
        self._outdated: list[_Outdated] = []
        self._world = world
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._client = world.dynamodb
        self._state = DynamoState(self._client, TABLE)
        self._indexes = {one.fingerprint: self._index(one) for one in world.pipelines}
        self._texts: dict[tuple[str, str], list[str]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)
        for shown in self._outdated:
            age_s = shown.asked_at - shown.changed_at
            served = self._world.served.get(shown.key, ())
            if any(shown.changed_at < start and end < shown.asked_at for start, end in served):
                self.wrong.append(
                    f"{shown.key!r} was shown {age_s:.1f} s after its change, whose event was served"
                )
            elif age_s > HIDDEN_WITHIN_S:
                self.wrong.append(f"{shown.key!r} was shown {age_s:.0f} s after its change")

    def shown(self, key: str) -> set[str]:
        """Return the versions of a document that an answer shows now."""
        index, collection = self._active(), key.partition("/")[0]
        vector = index.embedder.embed_queries([question(self._random)])[0].tolist()
        scope = Scope(_EVERYBODY, {collection: (key,)})
        return {passage.version for passage in index.retrieval.search(scope, vector, 50).passages}

    def _index(self, pipeline: PipelinePlace) -> _Index:
        fingerprint, stack = pipeline.fingerprint, self._world.stack
        index = ChromaIndex(ChromaServer(stack.chroma, timeout_s=5), Layout(fingerprint, SHARDS))
        catalogue = DynamoLedger(self._client, TABLE, fingerprint)
        return _Index(catalogue, Retrieval(catalogue, index), OnnxEmbedder(pipeline.model_dir, threads=1))

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            try:
                self.ask_once()
            except Unavailable:
                self.unavailable += 1
                time.sleep(_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - any other error is a finding
                self.wrong.append(f"{type(error).__name__}: {error}")

    def ask_once(self) -> None:
        with self._world.lock:
            keys = list(self._world.changes)
            before = dict(self._world.changes)
            absent = set(before) - set(self._world.current)
            changed_at = dict(self._world.changed_at)
        if not keys:
            return
        index = self._active()
        scope, top_k = self._about(index, keys)
        watched = self._random.sample(sorted(absent), min(20, len(absent)))
        settled = {key: self._deleted(index, key) for key in watched}
        vector = index.embedder.embed_queries([question(self._random)])[0].tolist()
        asked_at = time.monotonic()
        found = index.retrieval.search(scope, vector, top_k)
        passages = found.passages
        self.asked += 1
        self._check_generations(passages)
        for passage in passages:
            self._check_text(passage)
            if self._is_outdated(passage, before):
                key = passage.document
                self._outdated.append(_Outdated(key, asked_at, changed_at[key]))
            since = settled.get(passage.document)
            if since is None or self._deleted(index, passage.document) != since:
                continue
            with self._world.lock:
                unchanged = self._world.changes.get(passage.document) == before[passage.document]
            if unchanged:
                self.wrong.append(f"{passage.document!r} is deleted, and its chunk {passage.id} was shown")

    def _is_outdated(self, passage: Passage, before: dict[str, int]) -> bool:
        """Whether the passage's version was not the current one at any time of the question."""
        key = passage.document
        with self._world.lock:
            unchanged = key in before and self._world.changes.get(key) == before[key]
            return unchanged and self._world.uploads.get((key, passage.version)) != self._world.current.get(key)

    def _active(self) -> _Index:
        chosen = self._state.read(ACTIVE_PIPELINE).get("fingerprint")
        return self._indexes.get(chosen or "", next(iter(self._indexes.values())))

    def _about(self, index: _Index, keys: list[str]) -> tuple[Scope, int]:
        """Choose one document, deleted ones included, one collection or all; and the number of passages."""
        key = self._random.choice(keys)
        collection = key.partition("/")[0]
        match self._random.randrange(3):
            case 0:
                return Scope(_EVERYBODY, {collection: (key,)}), 50
            case 1:
                return Scope(_EVERYBODY, {collection: None}), 20
            case _:
                return index.retrieval.scope(_EVERYBODY, (), None), 20

    @staticmethod
    def _deleted(index: _Index, key: str) -> float | None:
        """Return when the ledger settled the key's deletion; None where it has not."""
        record = index.catalogue.get(key)
        return record.updated_at if record is not None and record.status is Status.DELETED else None

    def _check_generations(self, passages: Sequence[Passage]) -> None:
        generations = {(one.document, one.generation) for one in passages}
        for document, count in Counter(document for document, _ in generations).items():
            if count > 1:
                self.wrong.append(f"one answer has {count} generations of {document!r}")

    def _check_text(self, passage: Passage) -> None:
        name = (passage.document, passage.version)
        with self._world.lock:  # a worker can index an upload before the world has recorded it
            upload = self._world.uploads.get(name)
        if upload is None:
            return
        if name not in self._texts:
            self._texts[name] = text_of(upload.key, upload.revision, upload.pages)
        if " ".join(passage.chunk.text.split()) not in self._texts[name][passage.chunk.page - 1]:
            self.wrong.append(f"{passage.id} of {passage.document!r} is not on page {passage.chunk.page}")
