"""One question over HTTP, and what its answer leaves behind: metrics, log line, cost, receipt, quota."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from threading import Event
from typing import Any

from docwell import observability
from docwell.answers import Receipt, Turn
from docwell.deadline import Deadline
from docwell.errors import BadInput, DocwellError
from docwell.http import bodies, metrics, problems
from docwell.http.streaming import Emit, stream_events
from docwell.identity import Principal
from docwell.models import Passage
from docwell.query import costs
from docwell.query.checking.cleaning import StreamCleaner
from docwell.query.query import Listener, QueryReport, Question
from docwell.query.receipts import compare
from docwell.wiring import pipelines
from docwell.wiring import query as wiring

logger = observability.logger

# What is written down after an answer may not keep it from being sent.
_AFTERWARDS_S = 1.0


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, whom it is for, and how it was made."""

    principal: Principal
    request: bodies.QueryRequest
    response: bodies.QueryResponse
    report: QueryReport


def question_of(body: bodies.QueryRequest) -> Question:
    """The question of a request within the limits of the settings. Raises `BadInput`."""
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


def answer(
    asker: Callable[[], Principal],
    body: bodies.QueryRequest,
    request_id: str,
    deadline: Deadline | None = None,
    listener: Listener | None = None,
    cancel: Event | None = None,
    admitted: Callable[[], object] = lambda: None,
) -> Answered:
    """Ask. Raises what `docwell.query.query.Query.ask` does, and `BadInput`."""
    started = time.perf_counter()
    question = question_of(body)
    prompt = wiring.prompts().choose(request_id)
    report = wiring.query().ask(question, asker, prompt, deadline, listener, cancel, admitted)
    cost = costs.cost(
        wiring.prices(), report.model_host_s, time.perf_counter() - started, pipelines.runtime_settings().memory_mb
    )
    response = bodies.answer_body(report.answer, cost, report.estimated_tokens, request_id)
    return Answered(asker(), body, response, report)


def stream(
    asker: Callable[[], Principal],
    body: bodies.QueryRequest,
    request_id: str,
    deadline: Deadline,
    admitted: Callable[[], object] = lambda: None,
) -> tuple[Generator[bytes], Callable[[], None]]:
    """The answer as server-sent events: `passages`, `token`…, `answer`, or `error`. Close it when done.

    And what to do then, also when the client has left: what was made for it has been used up. What goes wrong
    before the first event is raised here.
    """
    done: list[Answered] = []

    def work(emit: Emit, cancel: Event) -> None:
        listener = _Events(emit)
        answered = answer(asker, body, request_id, deadline, listener, cancel, admitted)
        done.append(answered)
        listener.end()
        emit("answer", answered.response.model_dump(mode="json"))

    def failed(error: Exception) -> dict[str, Any]:
        problem = metrics.record_problem(error) if isinstance(error, DocwellError) else metrics.record_bug(error)
        return problems.problem_body(problem, request_id)

    def afterwards() -> None:
        for answered in done:
            finish(answered)

    return stream_events(work, failed), afterwards


class _Events:
    """A listener that passes everything on, cleaned."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._cleaner = StreamCleaner()

    def passages(self, passages: Sequence[Passage], suspicious: frozenset[str]) -> None:
        # What a passage that gives no orders names as an address may be named again.
        self._cleaner = StreamCleaner([one.chunk.text for one in passages if one.id not in suspicious])
        self._emit("passages", {"passages": bodies.passage_bodies(passages, suspicious)})

    def token(self, text: str) -> None:
        self._send(self._cleaner.feed(text))

    def end(self) -> None:
        self._send(self._cleaner.close())

    def _send(self, text: str) -> None:
        if text:
            self._emit("token", {"text": text})


def finish(answered: Answered, *, keep: bool = True) -> None:
    """Leave behind what an answer does; a receipt unless `keep` is false. A service that fails loses no answer."""
    with observability.flushed():
        metrics.record_query(answered.report, answered.response)
    _log(answered)
    works = [lambda: _write_down(answered), *([lambda: _keep(answered)] if keep else [])]
    deadline = Deadline(_AFTERWARDS_S)
    for pending in [deadline.begin("afterwards", 1.0, work) for work in works]:
        try:
            pending.result()
        except DocwellError as error:
            logger.warning("not written down", extra={"detail": error.detail})
        except Exception as error:  # noqa: BLE001 - the answer has been given
            metrics.record_bug(error)


def _log(answered: Answered) -> None:
    response = answered.response
    logger.info(
        "answered",
        extra={
            "outcome": response.status.value,
            "citations": len(response.citations),
            "timings_ms": response.timings_ms.model_dump(),
            "principal": answered.principal.id,
            "prompt_tokens": response.usage.prompt_tokens,
            "completion_tokens": response.usage.completion_tokens,
            "model_host_s": response.cost.model_host_s,
            "function_s": response.cost.function_s,
            "cost_amount": response.cost.amount,
            "cost_currency": response.cost.currency,
            "prompt_version": response.prompt_version,
            "model": response.model,
            "dropped_passages": response.dropped_passages,
            "unsupported_sentences": sum(not sentence.supported for sentence in response.sentences),
            "fallback_reason": response.fallback_reason,
        },
    )


def _write_down(answered: Answered) -> None:
    """Charge the tokens, and keep what was learnt of the model's."""
    usage = answered.response.usage
    if usage.prompt_tokens:
        wiring.principals().charge(answered.principal, tokens=usage.prompt_tokens + usage.completion_tokens)
    if answered.report.first_token_ms is not None:
        wiring.save_calibration()


def _keep(answered: Answered) -> None:
    lost = wiring.receipt_book().keep(receipt_of(answered))
    if lost is not None:
        logger.warning("receipt lost", extra={"detail": lost})


def receipt_of(answered: Answered) -> Receipt:
    """What is kept of an answer."""
    report, response = answered.report, answered.response
    settings = wiring.query_settings()
    return Receipt(
        principal=answered.principal.id,
        request_id=response.request_id,
        created_at=time.time(),
        request=answered.request.model_dump(mode="json"),
        answer=response.model_dump(mode="json"),
        passages=tuple((passage.id, passage.document, passage.version) for passage in report.prompted),
        prompt_version=response.prompt_version,
        model=response.model,
        model_digest=report.model_digest,
        options={
            **wiring.model().options,
            "min_score": settings.min_score,
            "min_relevance": settings.min_relevance,
            "min_support": settings.min_support,
            # None as in receipts of before there was such a setting.
            "focused_passages": settings.focused_passages or None,
        },
    )


def replay(
    principal: Principal, request_id: str, new_request_id: str, deadline: Deadline
) -> bodies.ReplayResponse:
    """Ask the question of a receipt again; the new answer is charged and not kept.

    Raises `NotFound` and what asking does.
    """
    then = wiring.receipt_book().get(principal, request_id)
    answered = answer(
        lambda: principal, bodies.QueryRequest.model_validate(then.request), new_request_id, deadline
    )
    finish(answered, keep=False)
    documents = dict.fromkeys(document for _, document, _ in then.passages)
    live = deadline.within("ledger", 1.0, lambda: _live_versions(documents))
    changes = compare(then, receipt_of(answered), live)
    return bodies.ReplayResponse(
        request_id=request_id,
        then=dict(then.answer),
        now=answered.response,
        changes=[bodies.ChangeBody(**asdict(change)) for change in changes],
    )


def _live_versions(documents: Iterable[str]) -> dict[str, str | None]:
    catalogue = wiring.catalogue()
    records = [record for key in documents if (record := catalogue.get(key))]
    return {record.key: record.live_version for record in records if record.live_version}
