"""How far the second question and upload of a process go: the first reads word lists. The figures only fall."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from inspect import CO_ASYNC_GENERATOR
from pathlib import Path
from types import FrameType
from unittest.mock import Mock

import pytest

import docwell
from docwell.ingest.events import Delivery, handle_delivery
from docwell.models import Status
from docwell.query.model_host import Breaker, GuardedModel
from tests.unit.ingest.ingest_world import World as UploadWorld
from tests.unit.query.query_world import BOILER, World

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="Python 3.11 cannot trace threads that run already"
)
PACKAGE = str(Path(docwell.__file__ or "").parent)
MOST_FILES, MOST_FUNCTIONS, MOST_GENERATORS = 26, 119, 3
MOST_FILES_OF_EVENT, MOST_FUNCTIONS_OF_EVENT, MOST_REQUESTS_OF_EVENT = 11, 86, 10


def traced(work: Callable[[], object]) -> tuple[set[str], int]:
    """Return the package's functions that some work calls, and the most of its generators within each other.

    Expressions and lambdas within a function do not count.
    """
    functions, deepest = set[str](), 0

    def record(frame: FrameType | None, event: str, _: object) -> None:
        nonlocal functions, deepest
        depth = 0
        if event == "call" and frame and (file := frame.f_code.co_filename).startswith(PACKAGE):
            is_named = frame.f_code.co_name.isidentifier()
            functions |= {f"{file.removeprefix(PACKAGE)} {frame.f_code.co_qualname}"} if is_named else set()
            while frame is not None:  # this frame, and those that wait for it
                is_generator = bool(frame.f_code.co_flags & CO_ASYNC_GENERATOR)
                depth += is_generator and frame.f_code.co_filename.startswith(PACKAGE)
                frame = frame.f_back
            deepest = max(deepest, depth)

    threading.setprofile_all_threads(record)  # type: ignore[attr-defined] # since 3.12
    try:
        work()
    finally:
        threading.setprofile_all_threads(None)  # type: ignore[attr-defined]
    return functions, deepest


def test_a_plain_question_crosses_few_files_and_functions_and_generators() -> None:
    world = World()
    world.add("house/rules.pdf", BOILER)
    world.model.says = "Every March [1]."
    world.query = replace(world.query, model=GuardedModel(world.model, Breaker(3, 1.0)))
    question = "When is the boiler of the house inspected?"
    world.ask(question)  # fills the caches of words: what they answer is not counted, in whatever order tests run
    functions, generators = traced(lambda: world.ask(question))
    assert len({name.split()[0] for name in functions}) <= MOST_FILES, sorted(functions)
    assert len(functions) <= MOST_FUNCTIONS, sorted(functions)
    assert generators <= MOST_GENERATORS


def test_an_event_of_an_upload_crosses_few_files_and_functions_and_makes_few_requests() -> None:
    world = UploadWorld()
    ledger, store = Mock(wraps=world.ledger), Mock(wraps=world.store)
    world.ingest = replace(world.ingest, ledger=ledger, store=store)

    def upload(key: str) -> None:
        world.store.put(key, "one page\fanother page")
        event = json.dumps({"Records": [{"s3": {"object": {"key": key}}}]})
        delivery = Delivery("message", "receipt", event, 1, False, lambda: 900.0, lambda _receipt, _seconds: None)
        handle_delivery([world.ingest], delivery)

    upload("house/a.pdf")
    assert len(requests := ledger.method_calls + store.method_calls) <= MOST_REQUESTS_OF_EVENT, requests
    functions, _ = traced(lambda: upload("house/b.pdf"))
    assert world.ledger.records["house/b.pdf"].status is Status.INDEXED
    assert len({name.split()[0] for name in functions}) <= MOST_FILES_OF_EVENT, sorted(functions)
    assert len(functions) <= MOST_FUNCTIONS_OF_EVENT, sorted(functions)
