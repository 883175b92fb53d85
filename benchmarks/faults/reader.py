"""A reader that keeps asking while faults run, and checks every answer against all that was ever uploaded."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import Any, Self, cast

from benchmarks.faults.compare import PipelinePlace
from benchmarks.faults.documents import question, text_of
from benchmarks.faults.world import TABLE, World
from docwell.adapters.chroma import ChromaIndex
from docwell.adapters.dynamodb import DynamoLedger, DynamoState
from docwell.adapters.onnx_embedder import OnnxEmbedder
from docwell.errors import Unavailable
from docwell.models import Passage, Status
from docwell.pipeline import ACTIVE_PIPELINE
from docwell.ports import LanguageModel
from docwell.prompting import load_prompt
from docwell.query import Query, Question

_PAUSE_S = 0.05


class Reader:
    """Asks in a thread of its own from `__enter__` to `__exit__`.

    `wrong` has a line for every answer that mixes generations, shows a document whose deletion is settled,
    or holds a text that is not on its page; `unavailable` counts the typed errors.
    """

    def __init__(self, world: World, seed: str) -> None:
        """Not started."""
        self.wrong: list[str] = []
        self.asked = 0
        self.passages = 0
        self.unavailable = 0
        self._world = world
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._stopping = threading.Event()
        self._client = world.client("dynamodb")
        self._state = DynamoState(self._client, TABLE)
        self._queries = {one.fingerprint: self._query(one) for one in world.pipelines}
        self._texts: dict[tuple[str, str], list[str]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _query(self, pipeline: PipelinePlace) -> Query:
        world, fingerprint = self._world, pipeline.fingerprint
        places = world.places()
        return Query(
            catalogue=DynamoLedger(self._client, TABLE, fingerprint),
            index=ChromaIndex(
                world.chroma.url, fingerprint, tenant=places.tenant, database=places.database, timeout_s=5
            ),
            embedder=OnnxEmbedder(pipeline.model_dir, threads=1),
            model=cast("LanguageModel", None),  # only retrieval is asked for
            prompt=load_prompt("answer"),
        )

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
        """One question and the check of its answer."""
        with self._world.lock:
            keys = list(self._world.changes)
            before = dict(self._world.changes)
            absent = set(before) - set(self._world.current)
        if not keys:
            return
        query = self._active()
        asked = self._about(keys)
        watched = self._random.sample(sorted(absent), min(20, len(absent)))
        settled = {key: self._deleted(query, key) for key in watched}
        vector = query.embedder.embed_queries([asked.text])[0].tolist()
        passages = query.retrieve(asked, vector)
        self.asked += 1
        self.passages += len(passages)
        self._check_generations(passages)
        for passage in passages:
            self._check_text(passage)
            since = settled.get(passage.document)
            if since is None or self._deleted(query, passage.document) != since:
                continue
            with self._world.lock:
                unchanged = self._world.changes.get(passage.document) == before[passage.document]
            if unchanged:
                self.wrong.append(f"{passage.document!r} is deleted, and its chunk {passage.id} was shown")

    def _active(self) -> Query:
        chosen = self._state.read(ACTIVE_PIPELINE).get("fingerprint")
        return self._queries.get(chosen or "", next(iter(self._queries.values())))

    def _about(self, keys: list[str]) -> Question:
        text = question(self._random)
        key = self._random.choice(keys)
        match self._random.randrange(3):
            case 0:
                return Question(text, document=key, top_k=50)
            case 1:
                return Question(text, collections=(key.partition("/")[0],), top_k=20)
            case _:
                return Question(text, top_k=20)

    @staticmethod
    def _deleted(query: Query, key: str) -> float | None:
        """When the ledger settled the key's deletion; None where it has not."""
        record = query.catalogue.get(key)
        return record.updated_at if record is not None and record.status is Status.DELETED else None

    def _check_generations(self, passages: list[Passage]) -> None:
        generations = {(one.document, one.generation) for one in passages}
        for document, count in Counter(document for document, _ in generations).items():
            if count > 1:
                self.wrong.append(f"one answer has {count} generations of {document!r}")

    def _check_text(self, passage: Passage) -> None:
        name = (passage.document, passage.version)
        upload = self._world.uploads.get(name)
        if upload is None:
            # The worker can be quicker than the suite's own note of what it has put.
            with self._world.lock:
                upload = self._world.uploads.get(name)
        if upload is None:
            return
        if name not in self._texts:
            self._texts[name] = text_of(upload.key, upload.revision, upload.pages)
        page: Any = self._texts[name][passage.chunk.page_start - 1]
        if " ".join(passage.chunk.text.split()) not in page:
            self.wrong.append(f"{passage.id} of {passage.document!r} is not on page {passage.chunk.page_start}")
