"""`make bench-stream`: the first token and the pace of the rest, through docwell and straight from the model.

A model server with a set time to its first token and a set pace is asked the same prompt in turns, once by
docwell for a client of its server-sent events, once directly. Without any pace it shows how fast docwell can pass
tokens on.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

from benchmarks.speed.asking import AskedStack, Client, asked_stack
from benchmarks.speed.filled_index import FilledCollection, Texts, folders
from benchmarks.speed.options import Options, TooFewPdfsError
from docwell.http import sse
from infra.measuring import Spread, ratios
from infra.report import Report

_CHUNKS, _SHORT_CHUNKS, _REAL_CHUNKS = 1_000, 200, 60
_SHORT_TOKENS = 60
_TIMEOUT_S = 60.0
_ROUNDS, _SHORT_ROUNDS = 15, 3
# Two rounds that nobody counts: one makes the environment, one makes its caches.
_WARM_UP = 2


@dataclass(frozen=True, slots=True)
class _Pace:
    """How the model server writes. Seconds; `judged` where a model could be as fast."""

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
class _Heard:
    """One answer. `first_s` is from the request to the first text, `rate` the characters a second after that."""

    first_s: float
    rate: float
    retrieval_s: float = 0.0


def measure(report: Report, options: Options) -> None:
    """Each pace on a stack of its own."""
    where, called = folders(options.pdfs)
    options.console.print(f"texts: {called}")
    texts = Texts.read(where, _REAL_CHUNKS)
    for pace in _PACES:
        with asked_stack(pace.first_s, pace.pace_s, _SHORT_TOKENS if options.short else pace.tokens) as asked:
            collection = FilledCollection(asked.stack, texts, _SHORT_CHUNKS if options.short else _CHUNKS)
            collection.fill()
            questions = _answered(asked, texts.questions[: 2 * _rounds(options)], collection)
            _measure(report, options, pace, _Ear(asked, collection.name, questions))


def _rounds(options: Options) -> int:
    return _SHORT_ROUNDS if options.short else _ROUNDS


def _answered(asked: AskedStack, possible: Sequence[str], collection: FilledCollection) -> list[str]:
    """Questions that get to the model."""
    answers = asked.in_a_row(possible, collection.name)
    kept = [question for question, answer in zip(possible, answers, strict=True) if answer.answered]
    if not kept:
        raise TooFewPdfsError("no question made from the PDFs is answered: take PDFs with more text")
    return kept


def _measure(report: Report, options: Options, pace: _Pace, ear: _Ear) -> None:
    rounds = _rounds(options) + _WARM_UP
    through, direct = [], []
    with options.progress(pace.name, rounds) as tick:
        for number in range(rounds):
            one, other = ear.both(docwell_first=number % 2 == 0)
            if number >= _WARM_UP:
                through.append(one)
                direct.append(other)
            tick()

    def goal(text: str) -> str | None:
        return options.goal(text) if pace.judged else None

    characters = ear.characters_per_token
    for name, heard in (("docwell", through), ("directly", direct)):
        first = Spread.of([one.first_s * 1000 for one in heard])
        report.add_spread(f"{name}: first token, {pace.name}", first, "ms")
    retrieval = Spread.of([one.retrieval_s * 1000 for one in through])
    report.add_spread(f"embed and retrieve, {pace.name}", retrieval, "ms")
    more = [
        (one.first_s - one.retrieval_s - other.first_s) * 1000 for one, other in zip(through, direct, strict=True)
    ]
    report.add_spread(
        f"first token later than directly, without retrieval, {pace.name}", Spread.of(more), "ms", goal("<= 60")
    )
    for name, heard in (("docwell", through), ("directly", direct)):
        rate = Spread.of([one.rate / characters for one in heard])
        report.add_spread(f"{name}: tokens a second, {pace.name}", rate, "1/s")
    share = ratios([one.rate for one in through], [one.rate for one in direct])
    report.add_spread(f"tokens a second over directly, {pace.name}", share, "x", goal(">= 0.95"))


class _Ear:
    """Asks both ways."""

    def __init__(self, asked: AskedStack, collection: str, questions: list[str]) -> None:
        self._asked = asked
        self._collection = collection
        self._questions = cycle(questions)
        self.characters_per_token = 1.0

    def both(self, *, docwell_first: bool) -> tuple[_Heard, _Heard]:
        """One question through docwell, and its prompt directly. Raises `RuntimeError` without an answer."""
        question = next(self._questions)
        if docwell_first:
            return self._through(question), self._directly()
        direct = self._directly()  # the prompt that is repeated is that of the question before, and as long
        return self._through(question), direct

    def _through(self, question: str) -> _Heard:
        with closing(Client(self._asked.stack)) as client:
            client.connect()
            began = time.perf_counter()
            response = client.open(question, self._collection, stream=True)
            heard, last = _listen(began, _events(response))
        if last.get("status") != "answered":
            raise RuntimeError(f"a question was not answered: {last}")
        timings = last["timings_ms"]
        return _Heard(heard.first_s, heard.rate, (timings["embed"] + timings["retrieve"]) / 1000)

    def _directly(self) -> _Heard:
        body = json.dumps(self._asked.tell_model("last"))
        where = urlsplit(self._asked.model)
        with closing(
            http.client.HTTPConnection(where.hostname or "", where.port, timeout=_TIMEOUT_S)
        ) as connection:
            connection.connect()
            began = time.perf_counter()
            connection.request("POST", "/api/chat", body)
            heard, last = _listen(began, _lines(connection.getresponse()))
        self.characters_per_token = last["characters"] / last["eval_count"]
        return heard


def _listen(began: float, pieces: Iterator[tuple[str, dict[str, Any]]]) -> tuple[_Heard, dict[str, Any]]:
    """What the pieces of text come to, and the document that is last."""
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
    characters = sum(length for _, length in times)
    return _Heard(times[0][0] - began, after / seconds if seconds else 0.0), last | {"characters": characters}


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    """The text of each `token` event, and the data of any."""
    lines = (line.decode().rstrip("\r\n") for line in iter(response.readline, b""))
    for name, document in sse.read(lines):
        yield (document["text"] if name == "token" else ""), document


def _lines(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    """The text of each line of Ollama's, and the line."""
    for line in iter(response.readline, b""):
        document = json.loads(line)
        yield document["message"]["content"], document
