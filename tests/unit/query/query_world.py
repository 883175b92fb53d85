"""The query use case on ports in memory, for the tests of it and of its routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any

from docwell.attributes import Attributes
from docwell.identity import Principal
from docwell.models import Chunk, DocumentRecord, IndexRecord, Status, collection_of
from docwell.query.conversation import Conversation
from docwell.query.prompting import load_prompt
from docwell.query.query import Listener, Query, QueryLimits, QueryReport, Question
from docwell.query.retrieval.retrieval import Retrieval
from docwell.text.tokens import TokenCalibration
from tests.unit.fakes import FakeEmbedder, FakeIndex, FakeLedger
from tests.unit.query.query_fakes import FakeLinks, FakeModel

QUESTION = "how often is the boiler inspected"
BOILER = "The boiler is inspected every March."
EVERYTHING = Principal("key:all", collections=None)
ANSWER = load_prompt("answer")


class World:
    """An index with some passages, and a model that says what it is told."""

    def __init__(self, **limits: Any) -> None:
        self.ledger, self.index, self.model = FakeLedger(), FakeIndex(), FakeModel()
        self.embedder, self.rewriter = FakeEmbedder(), FakeModel()
        self.query = Query(
            retrieval=Retrieval(self.ledger, self.index),
            embedder=self.embedder,
            model=self.model,
            facts=self.model,
            conversation=Conversation(self.rewriter, load_prompt("rewrite")),
            calibration=TokenCalibration(),
            links=FakeLinks(),
            limits=replace(QueryLimits(), **limits),
        )

    def add(self, key: str, text: str, *, page: int = 1, live: bool = True, **said: Any) -> None:
        generation = "live" if live else "old"
        vector = self.embedder.embed_passages([text])[0].tolist()
        chunk = Chunk(text, page, 0, len(text), len(text.split()), label="iv")
        id_ = f"{key}-{page}-{generation}"
        self.index.upsert(collection_of(key), [IndexRecord(id_, key, generation, "v1", chunk, vector)])
        self.ledger.records[key] = DocumentRecord(
            key,
            Status.INDEXED,
            live_generation="live",
            live_version="v1",
            live_attributes=Attributes(**said),
        )

    def ask(
        self,
        question: Question | str = QUESTION,
        principal: Principal = EVERYTHING,
        listener: Listener | None = None,
        cancel: Event | None = None,
        admitted: Callable[[], object] = lambda: None,
    ) -> QueryReport:
        asked = Question(question) if isinstance(question, str) else question
        return self.query.ask(
            asked, lambda: principal, ANSWER, listener=listener, cancel=cancel, admitted=admitted
        )
