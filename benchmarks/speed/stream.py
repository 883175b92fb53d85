"""The first token and the pace of the rest, through docwell and straight from the model.

A model server with a set time to its first token and a set pace gets the same prompt in turns: once from docwell,
for a client of its server-sent events, once directly.
"""

import json
import time
from collections.abc import Iterable
from itertools import cycle
from typing import Any, NamedTuple

import httpx

from benchmarks.speed.asking import AskedStack, answerable, asked_stack
from benchmarks.speed.filled_index import FilledCollection, Texts
from benchmarks.speed.options import Options
from docwell.http import sse
from infra.measuring import Spread, ratios
from infra.progress import bar
from infra.report import Report

# The first rounds start the environment and fill its caches.
_WARM_UP = 2


# A fast GPU host reads a prompt of 1,300 tokens in 0.2 s and writes 200 tokens a second.
_FIRST_S, _PACE_S, _TOKENS = 0.2, 0.005, 200
_PACE = "200 tokens a second"


class Heard(NamedTuple):
    """One answer: seconds from the request to the first text, and the characters a second after that."""

    first_s: float
    rate: float
    last: dict[str, Any]

    @property
    def retrieval_s(self) -> float:
        timings = self.last["timings_ms"]
        return float(timings["embed"] + timings["retrieve"]) / 1000


def measure(report: Report, options: Options) -> None:
    """Ask in turns. Raises `BenchError` where no question is answered."""
    texts = Texts.read(options.folders("xquad"), 60)
    rounds = _WARM_UP + (3 if options.short else 15)
    with (
        asked_stack(_FIRST_S, _PACE_S, 60 if options.short else _TOKENS) as asked,
        httpx.Client(timeout=60, trust_env=False) as direct,
        asked.stack.http(60) as docwell,
        bar(_PACE, rounds) as step,
    ):
        name = FilledCollection(asked.stack, texts, 200 if options.short else 1_000).name
        pairs, questions = [], cycle(answerable(asked, texts.questions, name))
        for number in range(rounds):
            body = {"question": next(questions), "collection": name, "stream": True}
            # Each goes first in every other round; the direct prompt is that of the question before.
            first = _directly(direct, asked) if number % 2 else None
            pairs.append((_through(docwell, body), first or _directly(direct, asked)))
            step()
    _add(report, options, pairs[_WARM_UP:])


def _add(report: Report, options: Options, pairs: list[tuple[Heard, Heard]]) -> None:
    def add(metric: str, values: list[float], unit: str, goal: str | None = None) -> None:
        judged = options.goal(goal) if goal else None
        report.add_spread(f"{metric}, {_PACE}", Spread.of(values), unit, judged)

    add("docwell: first token", [one.first_s * 1000 for one, _ in pairs], "ms")
    add("directly: first token", [other.first_s * 1000 for _, other in pairs], "ms")
    add("embed and retrieve", [one.retrieval_s * 1000 for one, _ in pairs], "ms")
    later = [(one.first_s - one.retrieval_s - other.first_s) * 1000 for one, other in pairs]
    add("first token later than directly, without retrieval", later, "ms", "<= 60")
    # The direct answer gives the length of a token.
    length = pairs[-1][1].last["characters"] / pairs[-1][1].last["eval_count"]
    add("docwell: tokens a second", [one.rate / length for one, _ in pairs], "1/s")
    add("directly: tokens a second", [other.rate / length for _, other in pairs], "1/s")
    share = ratios([one.rate for one, _ in pairs], [other.rate for _, other in pairs])
    report.add_spread(f"tokens a second over directly, {_PACE}", share, "x", options.goal(">= 0.95"))


def _through(client: httpx.Client, body: dict[str, Any]) -> Heard:
    """Ask docwell. Raises `RuntimeError` without an answer."""
    began = time.perf_counter()
    with client.stream("POST", "/v1/query", json=body) as response:
        events = sse.read(response.iter_lines())
        heard = listen(began, ((data["text"] if name == "token" else "", data) for name, data in events))
    if heard.last.get("status") != "answered":
        raise RuntimeError(f"a question was not answered: {heard.last}")
    return heard


def _directly(client: httpx.Client, asked: AskedStack) -> Heard:
    body = asked.tell_model("last")
    began = time.perf_counter()
    with client.stream("POST", f"{asked.model}/api/chat", json=body) as response:
        lines = (json.loads(line) for line in response.iter_lines())
        return listen(began, ((line["message"]["content"], line) for line in lines))


def listen(began: float, pieces: Iterable[tuple[str, dict[str, Any]]]) -> Heard:
    """Time the pieces of text. Raises `RuntimeError` without any text."""
    times: list[tuple[float, int]] = []
    last: dict[str, Any] = {}
    for text, last in pieces:  # noqa: B007 - the last document is needed
        if text:
            times.append((time.perf_counter(), len(text)))
    if not times:
        raise RuntimeError(f"an answer without text: {last}")
    seconds, after = times[-1][0] - times[0][0], sum(length for _, length in times[1:])
    last = last | {"characters": after + times[0][1]}
    return Heard(times[0][0] - began, after / seconds if seconds else 0.0, last)
