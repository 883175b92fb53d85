"""The first token and the pace of the rest, through docwell and straight from the model, and OpenAI's protocol.

A model server with a set time to its first token and a set pace gets the same prompt in turns: once from docwell,
for a client of its server-sent events, once directly. Then `/v1/query` and `/v1/chat/completions` get the same
questions in turns.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, takewhile
from typing import Any, NamedTuple

import httpx

from benchmarks.speed.asking import AskedStack, answerable, asked_stack
from benchmarks.speed.filled_index import FilledCollection, Texts
from benchmarks.speed.options import Options
from docwell.http import sse
from infra.measuring import Spread, in_turns, ratios
from infra.progress import bar
from infra.report import Report

# The first rounds start the environment and fill its caches.
_WARM_UP = 2


# A fast GPU host reads a prompt of 1,300 tokens in 0.2 s and writes 200 tokens a second.
_FIRST_S, _PACE_S, _TOKENS = 0.2, 0.005, 200
_PACE = "200 tokens a second"
_WHOLE, _CHAT = "/v1/query", "chat completions"
_RAW, _CHECKED = "first raw sentence", "first checked sentence"
# The model server ends each sentence so.
_SENTENCE_END = "[1]."
_LAST_CHUNK = "data: [DONE]"


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
        pairs, kept = [], answerable(asked, texts.questions, name)
        questions = cycle(kept)
        for number in range(rounds):
            body = {"question": next(questions), "collection": name, "stream": True}
            # Each goes first in every other round; the direct prompt is that of the question before.
            first = _directly(direct, asked) if number % 2 else None
            pairs.append((_through(docwell, body), first or _directly(direct, asked)))
            step()
        chats = _chats(docwell, asked, kept, name, rounds)
    _add(report, options, pairs[_WARM_UP:])
    _add_chats(report, options, {way: samples[_WARM_UP:] for way, samples in chats.items()})


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


def _chats(
    docwell: httpx.Client, asked: AskedStack, questions: Sequence[str], collection: str, rounds: int
) -> dict[str, list[float]]:
    """Return milliseconds by way, each way with the same questions in the same order."""

    def query(question: str) -> dict[str, Any]:
        return {"question": question, "collection": collection}

    def chat(question: str) -> dict[str, Any]:
        return {"model": f"docwell/{collection}", "messages": [{"role": "user", "content": question}]}

    ways: dict[str, Callable[[str], float]] = {
        _WHOLE: lambda question: _without_model(docwell, asked, "/v1/query", query(question)),
        _CHAT: lambda question: _without_model(docwell, asked, "/v1/chat/completions", chat(question)),
        _RAW: lambda question: _first_sentence(docwell, "/v1/query", query(question)),
        _CHECKED: lambda question: _first_sentence(docwell, "/v1/chat/completions", chat(question)),
    }

    def in_order(way: Callable[[str], float]) -> Callable[[], float]:
        each = cycle(questions)
        return lambda: way(next(each))

    with bar("chat completions", rounds * len(ways)) as step:
        return in_turns({name: in_order(way) for name, way in ways.items()}, rounds, step)


def _add_chats(report: Report, options: Options, samples: dict[str, list[float]]) -> None:
    for metric in _WHOLE, _CHAT:
        report.add_spread(f"{metric}, without the model", Spread.of(samples[metric]), "ms")
    for metric in _RAW, _CHECKED:
        report.add_spread(f"{metric}, {_PACE}", Spread.of(samples[metric]), "ms")
    for metric, over, under, goal in (
        ("chat completions over /v1/query", _CHAT, _WHOLE, "<= 5"),
        ("first checked sentence after the raw one", _CHECKED, _RAW, "<= 400"),
    ):
        later = [one - other for one, other in zip(samples[over], samples[under], strict=True)]
        report.add_spread(metric, Spread.of(later), "ms", options.goal(goal))


def _without_model(client: httpx.Client, asked: AskedStack, path: str, body: dict[str, Any]) -> float:
    """Return the milliseconds of a whole answer less those of the model. Raises `httpx.HTTPError`."""
    asked.tell_model("held")  # forget the earlier ones
    began = time.perf_counter()
    client.post(path, json=body).raise_for_status()
    seconds = time.perf_counter() - began
    return float(seconds - sum(asked.tell_model("held"))) * 1000


def _first_sentence(client: httpx.Client, path: str, body: dict[str, Any]) -> float:
    """Return the milliseconds to the end of the first sentence. Raises `RuntimeError` where none comes."""
    began = time.perf_counter()
    with client.stream("POST", path, json=body | {"stream": True}) as response:
        events = sse.read(takewhile(_LAST_CHUNK.__ne__, response.iter_lines()))
        ended = sentence_ended(_text(name, data) for name, data in events)
    return (ended - began) * 1000


def sentence_ended(pieces: Iterable[str]) -> float:
    """Return the time at which the first sentence ended; read on to the end. Raises `RuntimeError` without one."""
    text, ended = "", None
    for piece in pieces:
        text += piece
        if ended is None and _SENTENCE_END in text:
            ended = time.perf_counter()
    if ended is None:
        raise RuntimeError(f"no sentence came: {text[:200]!r}")
    return ended


def _text(name: str, data: dict[str, Any]) -> str:
    """Return the text of an event of either protocol."""
    if name == "token":
        return str(data["text"])
    return "".join(str(choice["delta"].get("content") or "") for choice in data.get("choices", ()))


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
