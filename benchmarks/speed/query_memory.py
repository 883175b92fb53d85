"""What the query function keeps in memory as it goes on answering."""

from __future__ import annotations

from http import HTTPStatus
from itertools import cycle, islice

import psutil

from benchmarks.speed.asking import AskedStack, asked_stack
from benchmarks.speed.filled_index import FilledCollection, Texts, folders
from benchmarks.speed.options import Options, TooFewPdfsError

FEW, MANY = 100, 1_000
_SHORT_MANY = 200
_CHUNKS = 1_000
_REAL_CHUNKS = 100
_MIB = 1024 * 1024


def grow(options: Options) -> tuple[float, float]:
    """Resident memory in MiB of the environment that answers, after 100 and after 1,000 questions (short: 200).

    Raises `RuntimeError` where a question is not answered by HTTP 200, `TooFewPdfsError` where none can be asked.
    """
    where, _ = folders(options.pdfs)
    texts = Texts.read(where, _REAL_CHUNKS)
    many = _SHORT_MANY if options.short else MANY
    with asked_stack() as asked, options.progress("query, requests", many // FEW) as tick:
        collection = FilledCollection(asked.stack, texts, _CHUNKS)
        collection.fill()
        first = asked.in_a_row(texts.questions, collection.name)
        # A refused question never comes to the model: it would be half of one.
        kept = [question for question, one in zip(texts.questions, first, strict=True) if one.answered]
        if not kept:
            raise TooFewPdfsError("no question made from the PDFs is answered: take PDFs with more text")
        questions = cycle(kept)
        sizes = []
        for _ in range(many // FEW):
            answers = asked.in_a_row(list(islice(questions, FEW)), collection.name)
            if failed := [one for one in answers if one.status != HTTPStatus.OK]:
                raise RuntimeError(f"{len(failed)} of {FEW} questions failed: {failed[0].body}")
            sizes.append(_resident(asked))
            tick()
        return sizes[0], sizes[-1]


def _resident(asked: AskedStack) -> float:
    """Of one client's questions all go to one environment: it is the one that has grown."""
    return max(_bytes(process) for process in asked.environments()) / _MIB


def _bytes(process: psutil.Process) -> int:
    return int(process.memory_info().rss)
