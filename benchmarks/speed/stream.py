"""The first token and the pace of the rest, through docwell and straight from the model.

A model server with a set time to its first token and a set pace gets the same prompt in turns: once from docwell,
for a client of its server-sent events, once directly. Without a pace it shows how fast docwell passes tokens on.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

from benchmarks.progress import bar
from benchmarks.speed.asking import AskedStack, Client, asked_stack
from benchmarks.speed.filled_index import FilledCollection, Texts
from benchmarks.speed.options import BenchError, Options
from docwell.http import sse
from infra.measuring import Spread, ratios
from infra.report import Report

# The first rounds start the environment and fill its caches.
_WARM_UP = 2


@dataclass(frozen=True, slots=True)
class _Pace:
    """The model server's pace, in seconds. Only a pace that a model can reach is `judged`."""

    name: str
    first_s: float
    pace_s: float
    tokens: int
    judged: bool


# A fast GPU host reads a prompt of 1,300 tokens in 0.2 s and writes 200 tokens a second.
_PACES = (
    _Pace("200 tokens a second", 0.2, 0.005, 200, judged=True),
    _Pace("no pace", 0.0, 0.0, 400, judged=False),
)


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer: seconds from the request to the first text, and the characters a second after that."""

    first_s: float
    rate: float
    retrieval_s: float = 0.0


def measure(report: Report, options: Options) -> None:
    """Measure each pace on its own stack."""
    texts = Texts.read(options.folders("xquad"), 60)
    rounds = 3 if options.short else 15
    for pace in _PACES:
        with asked_stack(pace.first_s, pace.pace_s, 60 if options.short else pace.tokens) as asked:
            collection = FilledCollection(asked.stack, texts, 200 if options.short else 1_000)
            possible = texts.questions[: 2 * rounds]
            answers = asked.in_a_row(possible, collection.name)
            kept = [question for question, answer in zip(possible, answers, strict=True) if answer.answered]
            if not kept:
                raise BenchError("no question made from the PDFs is answered: take PDFs with more text")
            listener = _Listener(asked, collection.name, kept)
            pairs = []
            with bar(pace.name, rounds + _WARM_UP) as step:
                for number in range(rounds + _WARM_UP):
                    pairs.append(listener.both(docwell_first=number % 2 == 0))
                    step()
            _add(report, options, pace, pairs[_WARM_UP:], listener.characters_per_token)


def _add(
    report: Report, options: Options, pace: _Pace, pairs: list[tuple[Heard, Heard]], characters: float
) -> None:
    def goal(text: str) -> str | None:
        return options.goal(text) if pace.judged else None

    ways = {"docwell": [one for one, _ in pairs], "directly": [other for _, other in pairs]}
    for name, heard in ways.items():
        first = Spread.of([one.first_s * 1000 for one in heard])
        report.add_spread(f"{name}: first token, {pace.name}", first, "ms")
    retrieval = Spread.of([one.retrieval_s * 1000 for one, _ in pairs])
    report.add_spread(f"embed and retrieve, {pace.name}", retrieval, "ms")
    later = Spread.of([(one.first_s - one.retrieval_s - other.first_s) * 1000 for one, other in pairs])
    report.add_spread(
        f"first token later than directly, without retrieval, {pace.name}", later, "ms", goal("<= 60")
    )
    for name, heard in ways.items():
        rate = Spread.of([one.rate / characters for one in heard])
        report.add_spread(f"{name}: tokens a second, {pace.name}", rate, "1/s")
    share = ratios([one.rate for one, _ in pairs], [other.rate for _, other in pairs])
    report.add_spread(f"tokens a second over directly, {pace.name}", share, "x", goal(">= 0.95"))


class _Listener:
    """Asks both ways."""

    def __init__(self, asked: AskedStack, collection: str, questions: list[str]) -> None:
        self._asked = asked
        self._collection = collection
        self._questions = cycle(questions)
        self.characters_per_token = 1.0

    def both(self, *, docwell_first: bool) -> tuple[Heard, Heard]:
        """Ask one question through docwell, and the last prompt directly. Raises `RuntimeError`."""
        question = next(self._questions)
        if docwell_first:
            return self._through(question), self._directly()
        direct = self._directly()
        return self._through(question), direct

    def _through(self, question: str) -> Heard:
        with closing(Client(self._asked.stack)) as client:
            client.connect()
            began = time.perf_counter()
            response = client.open(question, self._collection, stream=True)
            heard, last = listen(began, _events(response))
        if last.get("status") != "answered":
            raise RuntimeError(f"a question was not answered: {last}")
        timings = last["timings_ms"]
        return Heard(heard.first_s, heard.rate, (timings["embed"] + timings["retrieve"]) / 1000)

    def _directly(self) -> Heard:
        body = json.dumps(self._asked.tell_model("last"))
        where = urlsplit(self._asked.model)
        with closing(http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)) as connection:
            connection.connect()
            began = time.perf_counter()
            connection.request("POST", "/api/chat", body)
            heard, last = listen(began, _lines(connection.getresponse()))
        self.characters_per_token = last["characters"] / last["eval_count"]
        return heard


def listen(began: float, pieces: Iterator[tuple[str, dict[str, Any]]]) -> tuple[Heard, dict[str, Any]]:
    """Time the pieces of text; also return the last document. Raises `RuntimeError` without any text."""
    times: list[tuple[float, int]] = []
    last: dict[str, Any] = {}
    for text, document in pieces:
        if text:
            times.append((time.perf_counter(), len(text)))
        last = document
    if not times:
        raise RuntimeError(f"an answer without text: {last}")
    after = sum(length for _, length in times[1:])
    seconds = times[-1][0] - times[0][0]
    heard = Heard(times[0][0] - began, after / seconds if seconds else 0.0)
    return heard, last | {"characters": sum(length for _, length in times)}


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the text of each `token` event, and the data of every event."""
    lines = (line.decode().rstrip("\r\n") for line in iter(response.readline, b""))
    for name, document in sse.read(lines):
        yield (document["text"] if name == "token" else ""), document


def _lines(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the text of each line from the model server, and the line."""
    for line in iter(response.readline, b""):
        document = json.loads(line)
        yield document["message"]["content"], document
