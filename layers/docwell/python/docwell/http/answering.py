"""One question over HTTP, and its follow-up: metrics, log line, cost, receipt, quota."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

from docwell.answers import Cost, Receipt, Turn
from docwell.audit import Action, AuditEvent
from docwell.deadline import Deadline, run
from docwell.errors import BadInput, DocwellError
from docwell.http import bodies, problems, sse
from docwell.http.admission import RequestAdmission
from docwell.http.streaming import ResponseBody, stream_events
from docwell.identity import Principal
from docwell.observability import logger, metrics
from docwell.query import costs
from docwell.query.ask import Ask, Passages, QueryReport, Question, Token
from docwell.query.checking.cleaning import StreamCleaner
from docwell.query.metrics import record_query
from docwell.query.receipts import compare
from docwell.wiring import pipelines
from docwell.wiring import query as wiring

# The limit of the follow-up: saving receipts and charges must not delay the next request.
_FOLLOW_UP_S = 1.0
_LOGGED = {"timings_ms", "prompt_version", "model", "dropped_passages", "fallback_reason"}


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer over HTTP, its caller and its report; `follow_up` is the work after it is sent."""

    principal: Principal
    request: bodies.QueryRequest
    response: bodies.QueryResponse
    report: QueryReport
    cost: Cost

    def follow_up(self, *, keep: bool = True) -> None:
        """Record metrics, log, charge the tokens, and store a receipt if `keep`. Raises nothing."""
        record_query(self.report, self.cost, self.response.request_id)
        metrics.flush_metrics()  # the handler, which flushes too, may have returned
        self._log()
        tasks = [self._charge_tokens, self.audit]
        if keep:
            tasks.append(lambda: wiring.receipt_book().keep(self.receipt()))
        run(self._save(tasks))

    def receipt(self) -> Receipt:
        """Return the receipt of the answer."""
        report, response = self.report, self.response
        return Receipt(
            principal=self.principal.id,
            request_id=response.request_id,
            created_at=time.time(),
            request=self.request.model_dump(mode="json"),
            answer=response.model_dump(mode="json"),
            passages=tuple((passage.id, passage.document, passage.version) for passage in report.prompted),
            prompt_version=response.prompt_version,
            model=response.model,
            model_digest=report.model_digest,
            options={
                **wiring.model().options,
                **wiring.query_settings().model_dump(include={"min_score", "min_relevance", "min_support"}),
            },
        )

    async def _save(self, tasks: Iterable[Callable[[], None]]) -> None:
        """Run blocking tasks in parallel. The client already has its answer: only log failures."""
        deadline = Deadline(_FOLLOW_UP_S)

        async def save(task: Callable[[], None]) -> None:
            async with deadline.stage("afterwards"):
                await asyncio.to_thread(task)

        for error in await asyncio.gather(*map(save, tasks), return_exceptions=True):
            if isinstance(error, DocwellError):
                logger.warning("not saved", extra={"detail": error.detail})
            elif isinstance(error, Exception):
                problems.recorded(error)

    def _charge_tokens(self) -> None:
        usage = self.response.usage
        if usage.prompt_tokens:
            wiring.principals().charge(self.principal, tokens=usage.prompt_tokens + usage.completion_tokens)
        if self.report.first_token_ms is not None:
            wiring.calibration().save()

    def audit(self) -> None:
        """Add the caller and the cited documents to the audit trail."""
        if trail := wiring.audit_trail():
            cited = frozenset(citation.document for citation in self.response.citations)
            request_id = self.response.request_id
            trail.append(AuditEvent(self.principal.id, Action.ASKED, cited, request_id=request_id))

    def _log(self) -> None:
        response = self.response
        logger.info(
            "answered",
            extra={
                "outcome": response.status.value,
                "citations": len(response.citations),
                "principal": self.principal.id,
                "cost_amount": self.cost.amount,
                "cost_currency": self.cost.currency,
                "unsupported_sentences": sum(not sentence.supported for sentence in response.sentences),
                **response.cost.model_dump(include={"model_host_s", "function_s"}),
                **response.usage.model_dump(include={"prompt_tokens", "completion_tokens"}),
                **response.model_dump(include=_LOGGED),
            },
        )


@dataclass(frozen=True, slots=True)
class QuestionRequest:
    """One question over HTTP: who asks, and how long the answer may take."""

    body: bodies.QueryRequest
    request_id: str
    admission: RequestAdmission

    async def events(self) -> AsyncGenerator[Passages | Token | Finished]:
        """Yield the events of `Query.ask`, the last as `Finished`. Raises as that, and `BadInput`."""
        started = time.perf_counter()
        async with self.admission:
            deadline, prompt = self.admission.deadline, wiring.prompts().choose(self.request_id)
            ask = Ask(question_of(self.body), prompt, self.admission, deadline)
            async with deadline.stage("ledger"):
                query = await wiring.query()
            async with aclosing(query.ask(ask)) as events:
                async for event in events:
                    yield await self._finished(event, started) if isinstance(event, QueryReport) else event

    async def result(self) -> Finished:
        """Answer the question. Raises as `events`."""
        (finished,) = [event async for event in self.events() if isinstance(event, Finished)]
        return finished

    def answer(self) -> ResponseBody:
        """Return the whole answer as a body of JSON. Raises as `events`."""
        finished = run(self.result())
        text = json.dumps(finished.response.model_dump(mode="json"), separators=(",", ":"))
        return ResponseBody.whole(text, finished.follow_up)

    def stream(self) -> ResponseBody:
        """Return the answer as server-sent events: `passages`, `token`..., then `answer` or `error`.

        Errors before the first event are raised here. A finished answer is charged even when its client has left.
        """
        done: list[Finished] = []

        def failed(error: Exception) -> Mapping[str, Any]:
            problem = problems.problem_of(problems.recorded(error), self.request_id)
            return problem.model_dump(exclude_none=True)

        def afterwards() -> None:
            for finished in done:
                finished.follow_up()

        return ResponseBody(stream_events(self._encoded(done), failed), afterwards)

    async def _encoded(self, done: list[Finished]) -> AsyncGenerator[bytes]:
        """Yield the events as bytes, without unsafe links. Append the answer to `done` before sending it."""
        cleaner = StreamCleaner()
        async with aclosing(self.events()) as events:
            async for event in events:
                if isinstance(event, Passages):
                    # The streamed text may repeat links of passages, except of suspicious ones.
                    trusted = [one.chunk.text for one in event.passages if one.id not in event.suspicious]
                    cleaner = StreamCleaner(trusted)
                    passages = bodies.passage_bodies(event.passages, event.suspicious)
                    yield sse.event("passages", {"passages": passages})
                elif isinstance(event, Token):
                    if text := cleaner.feed(event.text):
                        yield sse.event("token", {"text": text})
                else:
                    done.append(event)
                    if text := cleaner.close():
                        yield sse.event("token", {"text": text})
                    yield sse.event("answer", event.response.model_dump(mode="json"))

    async def _finished(self, report: QueryReport, started: float) -> Finished:
        cost = costs.cost(
            wiring.prices(),
            report.model_host_s,
            time.perf_counter() - started,
            pipelines.runtime_settings().memory_mb,
        )
        response = bodies.answer_body(report.answer, cost, report.estimated_tokens, self.request_id)
        principal = (await self.admission.identified()).principal
        return Finished(principal, self.body, response, report, cost)


def question_of(body: bodies.QueryRequest) -> Question:
    """Return the question of a request. Raises `BadInput` when it is over a limit of the settings."""
    settings = wiring.query_settings()
    if len(body.question) > settings.max_question_characters:
        raise BadInput(f"the question is over {settings.max_question_characters:,} characters")
    top_k = body.top_k or settings.top_k
    if top_k > settings.max_top_k:
        raise BadInput(f"top_k is over {settings.max_top_k}")
    history = tuple(Turn(turn.question, turn.answer) for turn in body.history)
    if len(history) > settings.max_history_turns:
        raise BadInput(f"the history is over {settings.max_history_turns} turns: send the last ones")
    if sum(len(turn.question) + len(turn.answer) for turn in history) > settings.max_history_characters:
        raise BadInput(f"the history is over {settings.max_history_characters:,} characters: send the last turns")
    return Question(
        text=body.question,
        collections=bodies.chosen_collections(body),
        document=body.document,
        filter=bodies.chosen_documents(body),
        top_k=top_k,
        history=history,
        fallback=body.fallback == "extractive",
    )


def replay(admission: RequestAdmission, request_id: str, new_request_id: str) -> bodies.ReplayResponse:
    """Ask the question of a receipt again; the new answer is charged and not kept.

    Raises `NotFound`, and as asking does.
    """
    principal = run(admission.admitted()).principal
    then = wiring.receipt_book().get(principal, request_id, wiring.catalogue())
    body = bodies.QueryRequest.model_validate(then.request)
    finished = run(QuestionRequest(body, new_request_id, admission).result())
    finished.follow_up(keep=False)
    changes = compare(then, finished.receipt(), run(_live_versions(then, admission.deadline)))
    return bodies.ReplayResponse(
        request_id=request_id,
        then=dict(then.answer),
        now=finished.response,
        changes=[bodies.ChangeBody(**asdict(change)) for change in changes],
    )


async def _live_versions(receipt: Receipt, deadline: Deadline) -> dict[str, str]:
    documents = {document for _, document, _ in receipt.passages}
    async with deadline.stage("ledger"):
        records = await asyncio.to_thread(lambda: [wiring.catalogue().get(document) for document in documents])
    return {
        record.key: record.live_version for record in records if record and record.answers and record.live_version
    }
