"""A cold start: from the start of a process to its first answer, and to its first document that can be found.

Each sample is a fresh process under the Lambda emulator, with the packages that are deployed and nothing else of
this machine's. Where this Python is not 3.13, as Lambda's is, and in the short form, the packages are those of the
development environment. The peer is the same function as people write it with sentence-transformers, in turns with
docwell's, on the same Chroma, model server and stand-in for AWS. What any of them reads when it starts is in the
machine's cache by then.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.reading import default_reader
from benchmarks.speed.filled_index import Texts, folders
from benchmarks.speed.fresh_functions import Backends, Started, asked, backends, import_seconds, start
from benchmarks.speed.options import Options, TooFewPdfsError
from infra.local.lambda_runtime import FunctionError, FunctionSpec
from infra.measuring import Spread, in_turns, ratios
from infra.report import Report

# What the functions run on; no other can use what is deployed.
_PYTHON = (3, 13)
_ROUNDS = 7
_MOST_PAGES = 4
_CHUNKS = 50
_IMPORT_ROUNDS = 3
_PACKAGES_SHOWN = 12
_OK = 200
_PEER = {"query": "handler_sentence_transformers", "ingest": "ingest_handler_sentence_transformers"}
_END = {"query": "first answer", "ingest": "first document live"}


@dataclass
class _Way:
    """One function, started again and again. `begin` makes the next event, `holds` looks whether it was done."""

    spec: FunctionSpec
    begin: Callable[[], tuple[str, dict[str, Any]]]
    holds: Callable[[str, Any], bool]
    started: list[Started] = field(default_factory=list)
    errors: int = 0

    def __call__(self) -> float:
        """Seconds of one fresh process; one that fails counts as an error too."""
        name, event = self.begin()
        one = start(self.spec, event)
        self.started.append(one)
        self.errors += not self.holds(name, one.answer)
        return one.done


def measure(report: Report, options: Options) -> None:
    """Rows for query and ingest. Raises `FunctionError` where a function cannot even begin."""
    document = _document(options)
    deployed = not options.short and sys.version_info[:2] == _PYTHON
    with backends(deployed=deployed) as behind:
        report.add("docwell runs what is deployed", deployed, "1: yes")
        ways = _ways(behind, document, options)
        _fill(ways)
        rounds, import_rounds = (2, 1) if options.short else (_ROUNDS, _IMPORT_ROUNDS)
        with options.progress("fresh processes", rounds * len(ways) + import_rounds * len(_PEER)) as tick:
            samples = in_turns(ways, rounds, tick)
            _add_times(report, options, ways, samples)
            for name in ("query", "ingest"):
                _add_imports(report, name, ways[f"docwell: {name}"], import_rounds, tick)
        report.add("fresh processes that did not do it", sum(way.errors for way in ways.values()), "", "== 0")


def _document(options: Options) -> Path:
    """A PDF of a few pages with text. Raises `TooFewPdfsError`."""
    reader = default_reader()
    for path in (path for folder in folders(options.pdfs)[0] for path in sorted(folder.rglob("*.pdf"))):
        pages = reader.inspect(path).page_count
        if pages <= _MOST_PAGES and any(page.text.strip() for page in reader.pages(path, 1, pages)):
            return path
    raise TooFewPdfsError(f"no PDF of 1 to {_MOST_PAGES} pages with text")


def _ways(behind: Backends, document: Path, options: Options) -> dict[str, _Way]:
    content, question = document.read_bytes(), _question(document)
    numbers = count()

    def upload() -> tuple[str, dict[str, Any]]:
        key = f"cold/{next(numbers)}.pdf"
        return key, behind.uploaded(key, content)

    def ask() -> tuple[str, dict[str, Any]]:
        return question, asked(question)

    ways = {
        "docwell: query": _Way(behind.query(), ask, lambda _, answer: '"answered"' in _body(answer)),
        "docwell: ingest": _Way(behind.ingest(), upload, lambda key, _: behind.is_live(key)),
    }
    if options.peers:
        ways |= {
            "sentence-transformers: query": _Way(
                behind.peer(_PEER["query"]), ask, lambda _, answer: '"answer"' in _body(answer)
            ),
            "sentence-transformers: ingest": _Way(
                behind.peer(_PEER["ingest"]), upload, lambda _, answer: answer == {"batchItemFailures": []}
            ),
        }
    return ways


def _question(document: Path) -> str:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / document.name).symlink_to(document)
        questions = Texts.read([Path(name)], _CHUNKS).questions
    if not questions:
        raise RuntimeError(f"{document}: no sentence is long enough to ask for")
    return questions[0]


def _body(answer: Any) -> str:
    return str(answer.get("body")) if isinstance(answer, dict) and answer.get("statusCode") == _OK else ""


def _fill(ways: dict[str, _Way]) -> None:
    """One start of each, not counted: ingest first, so that query finds a document. Raises `FunctionError`."""
    for name in sorted(ways, key=lambda name: "query" in name):
        way = ways[name]
        way()
        if way.errors:
            raise FunctionError(f"{name} does not do it: {way.started[0].answer}")
        way.started.clear()


def _add_times(report: Report, options: Options, ways: dict[str, _Way], samples: dict[str, list[float]]) -> None:
    goals = {"query": "<= 1.0", "ingest": "<= 1.5"}
    for name, way in ways.items():
        whose, what = name.split(": ")
        goal = options.goal(goals[what]) if whose == "docwell" else None
        report.add_spread(f"{name}, process start to {_END[what]}", Spread.of(samples[name]), "s", goal)
        report.add_spread(f"{name}, of which until ready", Spread.of([one.ready for one in way.started]), "s")
    for what in _PEER:
        if (peer := samples.get(f"sentence-transformers: {what}")) is not None:
            faster = ratios(peer, samples[f"docwell: {what}"])
            report.add_spread(
                f"{what}, times faster than sentence-transformers", faster, "x", options.goal(">= 5")
            )


def _add_imports(report: Report, name: str, way: _Way, rounds: int, tick: Callable[[], None]) -> None:
    """What each package's modules take, those included that are imported by the first event."""
    modules = start(way.spec, way.begin()[1], modules=True).modules
    runs = []
    for _ in range(rounds):
        runs.append(import_seconds(way.spec, modules))
        tick()
    packages = {package: _median(run.get(package, 0.0) for run in runs) for package in runs[0]}
    report.add(f"{name}, imports in all", sum(packages.values()) * 1000, "ms")
    for package, seconds in sorted(packages.items(), key=lambda item: -item[1])[:_PACKAGES_SHOWN]:
        report.add(f"{name}, imports of {package}", seconds * 1000, "ms")


def _median(seconds: Iterable[float]) -> float:
    return Spread.of(list(seconds)).median
