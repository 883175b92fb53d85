"""The follow-up of one HTTP question or search: metrics, log line, cost, receipt, quota."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from docwell.answers import AnswerStatus, Citation, Cost, Mode, Receipt, Turn, Usage
from docwell.audit import Action, AuditEvent, pseudonym
from docwell.deadline import Deadline, run
from docwell.errors import BadInput, DocwellError, NotFound
from docwell.http import bodies, sse
from docwell.http.edges import Problem, RequestAdmission, admission, problem_of, record_error, request_id
from docwell.http.streaming import StreamedResponse, stream_events
from docwell.identity import Principal
from docwell.models import DocumentRecord
from docwell.observability import logger, metrics
from docwell.query import costs
from docwell.query.ask import (
    Ask,
    Checked,
    Event,
    Inquiry,
    Passages,
    Progress,
    QueryReport,
    Question,
    Token,
    Waking,
)
from docwell.query.checking.cleaning import StreamCleaner, clean_answer
from docwell.query.checking.suspicion import suspicion
from docwell.query.metrics import record_query, record_sleep
from docwell.query.receipts import compare, quoted
from docwell.query.retrieval.scope import NO_DOCUMENT, may_see_record
from docwell.text.visible import strip_invisible
from docwell.wiring import pipelines
from docwell.wiring import query as wiring

# The limit of the follow-up: saving receipts and charges must not delay the next request.
_FOLLOW_UP_S = 1.0
_LOGGED = {"refusal", "timings_ms", "prompt_version", "model", "dropped_passages", "fallback_reason", "partial"}


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer over HTTP with its caller and its report, whether it succeeded or failed."""

    principal: Principal
    request: bodies.QueryRequest
    response: bodies.QueryResponse
    report: QueryReport
    cost: Cost
    shown: frozenset[str]  # the documents whose passages a stream has shown

    def record(self) -> None:
        """Record metrics, and log."""
        record_query(self.report, self.cost, self.response.request_id)
        if wiring.query_settings().wake_s and self.report.inquiry.call.first_token_ms is not None:
            record_sleep(asleep=False)
        metrics.flush_metrics()  # the handler may already have flushed and returned
        self._log()

    def receipt(self) -> Receipt:
        """Return the receipt of the answer."""
        report, response, settings = self.report, self.response, wiring.query_settings()
        return Receipt(
            principal=self.principal.id,
            request_id=response.request_id,
            created_at=time.time(),
            request=self.request.model_dump(mode="json"),
            answer=response.model_dump(mode="json"),
            passages=tuple((passage.id, passage.document, passage.version) for passage in report.inquiry.prompted),
            prompt_version=response.prompt_version,
            model=response.model,
            model_digest=report.inquiry.call.model_digest,
            fit=report.inquiry.fit,
            options={
                **wiring.model().options,
                **({} if report.inquiry.min_fit is None else {"min_fit": report.inquiry.min_fit}),
                "min_support": settings.min_support,
                **settings.model_dump(include={"reranker", "passage_tokens"}, exclude_defaults=True),
            },
        )

    def save(self, *, keep: bool) -> None:
        """Add the caller and its documents to the audit trail, and store the receipt if `keep`.

        A document may have been erased since it was read: its key becomes a pseudonym, and no receipt is stored.
        A stream counts all documents whose passages it has shown.
        """
        receipt, live = self.receipt(), frozenset[str]()
        documents = quoted(receipt) | self.shown
        read = documents.union(document for _, document, _ in receipt.passages)
        try:
            live = frozenset(wiring.catalogue().described(sorted(read)))
            if keep and read <= live:
                wiring.receipt_book().keep(receipt)
        finally:
            if trail := wiring.audit_trail():
                names = documents & live | frozenset(map(pseudonym, documents - live))
                trail.append(AuditEvent(self.principal.id, Action.ASKED, names, request_id=receipt.request_id))

    def _log(self) -> None:
        response = self.response
        logger.info(
            "answered",
            extra={
                "outcome": response.status.value,
                "citations": len(response.citations),
                "principal": self.principal.id,
                "skipped_stages": self.report.inquiry.skipped,
                "cost_amount": self.cost.amount,
                "cost_currency": self.cost.currency,
                "model_host_s": self.cost.model_host_s,
                "function_s": self.cost.function_s,
                "unsupported_sentences": sum(not sentence.supported for sentence in response.sentences),
                **response.usage.model_dump(include={"prompt_tokens", "completion_tokens"}),
                **response.model_dump(include=_LOGGED),
            },
        )


Shown = Passages | Waking | Token | Checked | Finished


@dataclass(slots=True)
class QuestionRequest:
    """One question over HTTP and its answer so far. `sent` is the text that a stream has sent.

    Call `follow_up` once the answer is sent or abandoned. Until then the charge is the most that it can use.
    """

    body: bodies.QueryRequest
    request_id: str
    admission: RequestAdmission
    by_sentence: bool = False
    sent: str = ""
    _started: float = field(default_factory=time.perf_counter)
    _progress: Progress | None = None
    _progress_at: float = 0.0
    _pieces: int = 0  # pieces from the model since the last progress event
    _shown: frozenset[str] = frozenset()
    _cleaner: StreamCleaner = field(default_factory=StreamCleaner)
    _waits: bool = False
    _host_asleep: bool = False
    _error: Exception | None = None
    _finished: Finished | None = None

    async def events(self) -> AsyncGenerator[Shown]:
        """Yield the events of `Query.ask`; the last becomes `Finished`. Raises as `Query.ask`, and `BadInput`."""
        try:
            async with self.admission:
                deadline, prompt = self.admission.deadline, wiring.prompt()
                question = replace(
                    question_of(self.body),
                    waits=self._waits,
                    by_sentence=self.by_sentence,
                    quotes=self.admission.of_canary,
                )
                ask = Ask(question, prompt, self.admission, deadline)
                async with deadline.stage("ledger"):
                    query = await wiring.query()
                async with aclosing(query.ask(ask)) as events:
                    async for event in events:
                        await self.admission.confirm()
                        complete = await query.completed(event) if isinstance(event, QueryReport) else event
                        if shown := await self._account(complete):
                            yield shown
        except Exception as error:
            self._error = error
            raise

    async def result(self) -> Finished:
        """Answer the question. Raises as `events`."""
        (finished,) = [event async for event in self.events() if isinstance(event, Finished)]
        return finished

    def answer(
        self, body_of: Callable[[bodies.QueryResponse], BaseModel] = lambda response: response
    ) -> StreamedResponse:
        """Return the whole answer as a body of JSON. Raises as `events`."""
        with self._follow_up_on_error():
            finished = run(self.result())
        text = json.dumps(body_of(finished.response).model_dump(mode="json"), separators=(",", ":"))
        return StreamedResponse.of_text(200, {"Content-Type": "application/json"}, text, self.follow_up)

    def stream(self) -> StreamedResponse:
        """Return the answer as server-sent events: `passages`, `waking`..., `token`..., then `answer` or `error`.

        Errors before the first event are raised here.
        """
        return self.streamed(self._encoded, lambda problem: problem.model_dump(exclude_none=True))

    def streamed(
        self, encode: Callable[[Shown], Iterator[bytes]], failed: Callable[[Problem], Mapping[str, Any]]
    ) -> StreamedResponse:
        """Return the `events`, each encoded as server-sent events; `failed` returns the data of an error event.

        Errors before the first event are raised here.
        """
        self._waits = True

        async def encoded() -> AsyncGenerator[bytes]:
            async with aclosing(self.events()) as events:
                async for event in events:
                    for piece in encode(event):
                        yield piece

        with self._follow_up_on_error():
            events = stream_events(
                encoded(), lambda error: failed(problem_of(record_error(error), self.request_id))
            )
            return StreamedResponse(200, sse.HEADERS, events, self.follow_up)

    def follow_up(self, *, keep: bool = True) -> None:
        """Settle the charge. Record and log an answer that was begun, and store its receipt if `keep`.

        Metrics, log, audit trail and receipts leave out the canary's questions.
        """
        finished = self._finished or self._unfinished()
        used = (finished.report.answer.usage.tokens, finished.cost) if finished else (0, None)
        tasks = [lambda: self.admission.settle(*used)]
        if finished is not None and not self.admission.of_canary:
            finished.record()
            tasks.append(lambda: finished.save(keep=keep))
        run(save(tasks))

    @contextmanager
    def _follow_up_on_error(self) -> Generator[None]:
        try:
            yield
        except Exception:
            self.follow_up()
            raise

    async def _account(self, event: Event) -> Shown | None:
        """Record an event; return it if the client gets it, else None."""
        if isinstance(event, Progress):
            self._progress, self._progress_at, self._pieces = event, time.perf_counter(), 0
            return None
        if isinstance(event, QueryReport):
            principal = await self.admission.identified()
            self._finished = self._as_finished(event, principal)
            return self._finished
        if isinstance(event, Token):
            self._pieces += event.pieces
        if isinstance(event, Waking) and not self._host_asleep:
            self._host_asleep = True
            record_sleep(asleep=True)
        return event

    def _encoded(self, event: Shown) -> Iterator[bytes]:
        """Yield an event as bytes, without unsafe links."""
        if isinstance(event, Passages):
            # The streamed text may repeat links of passages, except of suspicious ones.
            texts = (passage.chunk.text for passage in event.passages)
            self._cleaner = StreamCleaner([text for text in texts if not suspicion(text)])
            passages = bodies.passage_bodies(event)
            self._shown |= {passage.document for passage in event.passages}
            self.sent = ""  # drop the text of a mode that refused
            yield sse.event("passages", {"passages": passages})
            return
        if isinstance(event, Waking):
            yield sse.event("waking", {"seconds": round(event.seconds)})
            return
        text = self._cleaner.feed(event.text) if isinstance(event, Token) else self._cleaner.close()
        self.sent += text
        if text:
            yield sse.event("token", {"text": text})
        if isinstance(event, Finished):
            yield sse.event("answer", event.response.model_dump(mode="json"))

    def _unfinished(self) -> Finished | None:
        """Return the answer as far as it came; None when neither search nor model had a result."""
        if self._progress is None:
            return None
        report, error = self._progress.report, self._error
        status = AnswerStatus.ABANDONED if error is None else AnswerStatus.FAILED
        problem = error.problem if isinstance(error, DocwellError) else DocwellError.problem
        answer = replace(
            report.answer,
            answer=self.sent,
            status=status,
            refusal=None,
            usage=report.answer.usage + Usage(0, self._pieces),
            fallback_reason=None if error is None else problem,
        )
        at_model_s = time.perf_counter() - self._progress_at if self._progress.at_model else 0.0
        report = replace(report, answer=answer, model_host_s=report.model_host_s + at_model_s)
        return self._as_finished(report, run(self.admission.identified()))

    def _as_finished(self, report: QueryReport, principal: Principal) -> Finished:
        cost = costs.cost(
            wiring.prices(),
            report.model_host_s,
            time.perf_counter() - self._started,
            pipelines.runtime_settings().memory_mb,
        )
        fields = asdict(report.answer) | {"cost": asdict(cost), "request_id": self.request_id}
        fields["usage"]["estimated_prompt_tokens"] = report.inquiry.call.estimated_tokens
        response = bodies.QueryResponse.model_validate(fields)
        return Finished(principal, self.body, response, report, cost, self._shown)


async def save(tasks: Iterable[Callable[[], None]]) -> None:
    """Run blocking tasks in parallel. The client already has its answer: only log failures."""
    deadline = Deadline(_FOLLOW_UP_S)

    async def run_task(task: Callable[[], None]) -> None:
        async with deadline.stage("afterwards"):
            await asyncio.to_thread(task)

    for error in await asyncio.gather(*map(run_task, tasks), return_exceptions=True):
        if isinstance(error, DocwellError):
            logger.warning("not saved", extra={"detail": error.detail})
        elif isinstance(error, Exception):
            record_error(error)


def audit(principal: Principal, action: Action, documents: frozenset[str]) -> None:
    """Add documents whose text or link the caller gets to the audit trail. A failure is logged."""
    if trail := wiring.audit_trail():
        event = AuditEvent(principal.id, action, documents, request_id=request_id())
        run(save([lambda: trail.append(event)]))


def searched_question(body: bodies.SearchFields) -> Question:
    """Return the question of a request, and where to search. Raises `BadInput` when it is over a limit."""
    settings = wiring.query_settings()
    if len(body.question) > settings.max_question_characters:
        raise BadInput(f"the question is over {settings.max_question_characters:,} characters")
    top_k = body.top_k or settings.top_k
    if top_k > settings.max_top_k:
        raise BadInput(f"top_k is over {settings.max_top_k}")
    return Question(
        text=body.question,
        collections=bodies.chosen_collections(body),
        document=body.document,
        filter=bodies.chosen_documents(body),
        top_k=top_k,
    )


def question_of(body: bodies.QueryRequest) -> Question:
    """Return the question of a request. Raises `BadInput` when it is over a limit of the settings."""
    settings = wiring.query_settings()
    question = searched_question(body)
    history = tuple(Turn(turn.question, turn.answer) for turn in body.history)
    if len(history) > settings.max_history_turns:
        raise BadInput(f"the history is over {settings.max_history_turns} turns: send the last ones")
    if sum(len(turn.question) + len(turn.answer) for turn in history) > settings.max_history_characters:
        raise BadInput(f"the history is over {settings.max_history_characters:,} characters: send the last turns")
    return replace(
        question,
        history=history,
        fallback=(body.fallback or ("extractive" if settings.wake_s else "none")) == "extractive",
        mode=body.mode,
    )


def replay(admission: RequestAdmission, receipt_id: str) -> bodies.ReplayResponse:
    """Ask the question of a receipt again; the new answer is charged and not kept.

    Raises `NotFound`, `BadInput` for a request that only an older release took, and as asking does.
    """
    principal = run(admission.admitted())
    try:
        receipt = wiring.receipt_book().get(principal, receipt_id, wiring.catalogue())
        try:
            searched = receipt.answer.get("rewritten_question") or receipt.request["question"]
            body = bodies.QueryRequest.model_validate({**receipt.request, "question": searched, "history": []})
        except ValidationError:
            raise BadInput("this release does not take the request of this receipt: ask again") from None
    except DocwellError:
        run(save([lambda: admission.settle(0)]))
        raise
    audit(principal, Action.READ, quoted(receipt))
    question = QuestionRequest(body, request_id(), admission)
    try:
        finished = run(question.result())
    finally:
        question.follow_up(keep=False)
    changes = compare(receipt, finished.receipt(), run(_live_versions(receipt, admission.deadline)))
    return bodies.ReplayResponse(
        request_id=receipt_id,
        question=receipt.request["question"],
        then=dict(receipt.answer),
        now=finished.response,
        fit=finished.report.inquiry.fit,
        min_fit=finished.report.inquiry.min_fit,
        changes=list(changes),
    )


def first_visible(principal: Principal, *keys: str) -> DocumentRecord:
    """Return the first of the documents that the principal can see. Raises `NotFound`."""
    for key in dict.fromkeys(keys):
        if (record := wiring.catalogue().get(key)) and may_see_record(principal, record):
            return record
    raise NotFound(NO_DOCUMENT)


async def _live_versions(receipt: Receipt, deadline: Deadline) -> dict[str, str]:
    documents = {document for _, document, _ in receipt.passages}
    async with deadline.stage("ledger"):
        records = await asyncio.to_thread(lambda: [*filter(None, map(wiring.catalogue().get, documents))])
    return {record.key: record.live_version for record in records if record.answers and record.live_version}


def search(body: bodies.SearchRequest) -> bodies.SearchResponse:
    """Search for a question; the request is charged. Raises as `docwell.query.query.Query.ask`, and `BadInput`."""
    request = admission()
    inquiry, citations = run(_searched(body, request))
    documents = frozenset(passage.document for passage in inquiry.passages)
    audit(run(request.identified()), Action.SEARCHED, documents)
    timings = bodies.SearchTimings.model_validate(inquiry.watch.timings(), from_attributes=True)
    logger.info("searched", extra={"passages": len(citations), "timings_ms": timings.model_dump()})
    chunks = [passage.chunk for passage in inquiry.passages]
    texts = [(clean_answer(chunk.heading, ())[0], strip_invisible(chunk.text)) for chunk in chunks]
    pairs = zip(texts, citations, strict=True)
    hit_bodies = [bodies.HitBody(**asdict(place), heading=heading, text=text) for (heading, text), place in pairs]
    by_document: dict[str, list[bodies.HitBody]] = {}
    for hit in hit_bodies:
        by_document.setdefault(hit.document, []).append(hit)
    grouped = [bodies.DocumentHits(document=key, passages=passages) for key, passages in by_document.items()]
    return bodies.SearchResponse(
        passages=None if body.group_by else hit_bodies,
        documents=grouped if body.group_by else None,
        fit=inquiry.fit,
        min_fit=inquiry.min_fit,
        timings_ms=timings,
        request_id=request_id(),
    )


async def _searched(body: bodies.SearchRequest, admission: RequestAdmission) -> tuple[Inquiry, list[Citation]]:
    async with admission:
        deadline = admission.deadline
        # A search ignores the mode and the prompt.
        question = replace(searched_question(body), mode=Mode.PASSAGES)
        async with deadline.stage("ledger"):
            query = await wiring.query()
        return await query.search(Ask(question, wiring.prompt(), admission, deadline))
