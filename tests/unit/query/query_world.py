"""The query use case on ports in memory, for its own tests and those of its routes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from docwell.answers import Mode
from docwell.config import QueryLimits
from docwell.deadline import Deadline, run
from docwell.identity import Principal
from docwell.models import Attributes, Chunk, CitationUnit, DocumentRecord, IndexRecord, Status, collection_of
from docwell.query.ask import Ask, Event, QueryReport, Question
from docwell.query.compare import Comparison
from docwell.query.conversation import Conversation
from docwell.query.lists import Lists
from docwell.query.modes import Modes, Router
from docwell.query.overview import Overview
from docwell.query.prompting import load_prompt
from docwell.query.query import Query
from docwell.query.retrieval.retrieval import Retrieval
from tests.unit.fakes import FakeEmbedder, FakeIndex, FakeLedger
from tests.unit.query.query_fakes import FakeAdmission, FakeLinks, FakeModel

QUESTION = "how often is the boiler inspected"
BOILER = "The boiler is inspected every March."
EVERYTHING = Principal("key:all", collections=None)
ANSWER = load_prompt("answer")
ROWS: dict[str, list[Any]] = tomllib.loads(Path(__file__).with_name("rows.toml").read_text("utf-8"))


def rows(name: str) -> list[Any]:
    """Return the cases of this name in `rows.toml`."""
    return ROWS[name]


class World:
    """An index with some passages, and a model with a fixed answer."""

    def __init__(self, **limits: Any) -> None:
        self.ledger, self.index, self.model = FakeLedger(), FakeIndex(), FakeModel()
        self.embedder, self.rewriter = FakeEmbedder(), FakeModel()
        self.router = Router(self.embedder)
        self.events: list[Event] = []
        self.row_model = FakeModel()
        retrieval = Retrieval(self.ledger, self.index)
        self.query = Query(
            retrieval=retrieval,
            embedder=self.embedder,
            model=self.model,
            conversation=Conversation(self.rewriter, load_prompt("rewrite"), 4000),
            modes=Modes(
                self.router,
                {
                    Mode.OVERVIEW: Overview(self.index, load_prompt("overview")),
                    Mode.LIST: Lists(self.index, self.ledger, 5.0),
                    Mode.COMPARE: Comparison(retrieval, load_prompt("compare"), self.row_model),
                },
                retrieval,
            ),
            links=FakeLinks(),
            limits=QueryLimits(**limits),
            min_fit=0.4,
        )

    def add(
        self,
        key: str,
        text: str,
        *,
        page: int = 1,
        live: bool = True,
        unit: CitationUnit | None = None,
        **said: Any,
    ) -> None:
        generation = "live" if live else "old"
        vector = self.embedder.embed_passages([text])[0].tolist()
        units = ((0, unit),) if unit else ()
        chunk = Chunk(text, page, 0, len(text), len(text.split()), label="iv", citation_units=units)
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
        refuses: Exception | None = None,
    ) -> QueryReport:
        """Return the report of the last event; all events so far are in `events`, also after an error."""
        asked = Question(question) if isinstance(question, str) else question
        deadline = Deadline(self.query.limits.deadline_s)
        return run(self.report(Ask(asked, ANSWER, FakeAdmission(principal, refuses), deadline)))

    async def report(self, ask: Ask) -> QueryReport:
        """Return the report of the last event."""
        self.events = []
        async for event in self.query.ask(ask):
            self.events.append(event)
        last = self.events[-1]
        assert isinstance(last, QueryReport)
        return last
