"""A reader that asks questions while faults run, and checks every answer against all uploads."""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Self

from benchmarks.faults.compare import SHARDS, PipelinePlace
from benchmarks.faults.world import TABLE, World, question, text_of
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

_PAUSE_S, _TOP_K = 0.05, 50
# A deleted or replaced document stops answering within this time, even if workers die.
HIDDEN_WITHIN_S = 60.0
_EVERYBODY = Principal("key:reader", collections=None)


class _Index:
    """The query's parts for one pipeline."""

    def __init__(self, world: World, place: PipelinePlace) -> None:
        self.catalogue = DynamoLedger(world.dynamodb, TABLE, place.fingerprint)
        server = ChromaServer(world.stack.chroma, timeout_s=5)
        self._retrieval = Retrieval(self.catalogue, ChromaIndex(server, Layout(place.fingerprint, SHARDS)))
        self._embedder = OnnxEmbedder(place.model_dir, threads=1)

    def search(self, scope: Scope, text: str) -> Sequence[Passage]:
        vector = self._embedder.embed_queries([text])[0].tolist()
        return self._retrieval.search(scope, vector, _TOP_K).passages

    def deleted_at(self, key: str) -> float | None:
        """Return when the ledger settled the key's deletion; None if it has not."""
        record = self.catalogue.get(key)
        return record.updated_at if record is not None and record.status is Status.DELETED else None


class Reader:
    """Asks in a thread from `__enter__` to `__exit__`.

    `wrong` has a line for every answer that mixes generations, shows a document whose deletion is settled, or has
    a text that is not on its page; `unavailable` counts the typed errors. A version that the bucket no longer has
    is wrong once a worker has handled its change, and after 60 s at the latest: `__exit__` adds these.
    """

    def __init__(self, world: World, seed: str) -> None:
        """Open the index of each pipeline."""
        self.wrong: list[str] = []
        self.asked = 0
        self.unavailable = 0
        self._outdated: list[tuple[str, float, float]] = []  # key, time of the question, time of the change
        self._world = world
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._state = DynamoState(world.dynamodb, TABLE)
        self._indexes = {place.fingerprint: _Index(world, place) for place in world.pipelines}
        self._texts: dict[tuple[str, str], list[str]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)
        for key, asked_at, changed_at in self._outdated:
            age, served = f"{key!r} was shown {asked_at - changed_at:.1f} s after its change", self._world.served
            if any(changed_at < start and end < asked_at for start, end in served.get(key, ())):
                self.wrong.append(f"{age}, whose event was served")
            elif asked_at - changed_at > HIDDEN_WITHIN_S:
                self.wrong.append(age)

    def shown(self, key: str) -> set[str]:
        """Return the versions of a document that an answer shows now."""
        passages = self._active().search(
            Scope(_EVERYBODY, {key.partition("/")[0]: (key,)}), question(self._random)
        )
        return {passage.version for passage in passages}

    def _active(self) -> _Index:
        chosen = self._state.read(ACTIVE_PIPELINE).get("fingerprint")
        return self._indexes.get(chosen or "", next(iter(self._indexes.values())))

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            try:
                self._ask()
            except Unavailable:
                self.unavailable += 1
                time.sleep(_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - any other error is a defect
                self.wrong.append(f"{type(error).__name__}: {error}")

    def _ask(self) -> None:
        with self._world.lock:
            changes, changed_at = dict(self._world.changes), dict(self._world.changed_at)
            absent = sorted(set(changes) - set(self._world.current))
        if not changes:
            return
        index = self._active()
        scope = self._about(list(changes))
        watched = self._random.sample(absent, min(20, len(absent)))
        settled = {key: index.deleted_at(key) for key in watched}
        asked_at = time.monotonic()
        passages = index.search(scope, question(self._random))
        self.asked += 1
        generations = Counter(document for document, _ in {(hit.document, hit.generation) for hit in passages})
        for document, count in generations.items():
            if count > 1:
                self.wrong.append(f"one answer has {count} generations of {document!r}")
        for passage in passages:
            key = passage.document
            self._check_text(passage)
            with self._world.lock:
                unchanged = key in changes and self._world.changes.get(key) == changes[key]
                upload = self._world.uploads.get((key, passage.version))
                outdated = unchanged and upload != self._world.current.get(key)
            if outdated:
                self._outdated.append((key, asked_at, changed_at[key]))
            since = settled.get(key)
            if unchanged and since is not None and index.deleted_at(key) == since:
                self.wrong.append(f"{key!r} is deleted, and its chunk {passage.id} was shown")

    def _about(self, keys: list[str]) -> Scope:
        """Choose randomly: one document, even a deleted one, one collection, or all."""
        key = self._random.choice(keys)
        collection = key.partition("/")[0]
        return Scope(_EVERYBODY, self._random.choice([{collection: (key,)}, {collection: None}, None]))

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
