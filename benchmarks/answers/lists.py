"""Questions for lists (`make eval-answers PART=lists`): which documents mention something, and on which pages.

They are asked of the modes themselves, beside a Chroma server, without HTTP and a model. The truth is that of a
search in the text of `pdftotext`. A question that docwell does not take for a list lists nothing: an answer of the
passages would not count. Half of the questions stay untouched: of these the report has totals alone.
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.answers.asked import TRUTH, documents, pages
from benchmarks.answers.shares import add_share
from benchmarks.retrieval.index import CachedEmbedder, indexed, new_index
from docwell.adapters.embedding.calibration import ModelCalibration
from docwell.answers import Mode
from docwell.attributes import Attributes
from docwell.cli.evaluation.verdicts import Page
from docwell.config import IngestLimits
from docwell.identity import Principal
from docwell.models import collection_of
from docwell.ports import LiveDocument
from docwell.query.census import Census
from docwell.query.looking import Library
from docwell.query.modes import Basis, Modes, Searched
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.routing import Router
from infra.local.stack import MODEL_DIR
from infra.progress import CONSOLE, bar
from infra.report import REPORTS, Report

ANSWERS = REPORTS / "answers" / "lists.jsonl"
_HALVES_SEED = 15
_TOP_K = 5
# More than a question has, so that a slow machine does not list less.
_LOOK_S = 30.0
_LINE = re.compile(r"- (?:(?P<key>\S+), )?pages? (?P<pages>\d[\d,\u2013-]*)")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, asked in a collection or document, and the pages `on` which its subject is.

    An `ordinary` one is not for a list.
    """

    id: str
    ask: str
    place: str
    on: frozenset[Page]
    language: str
    ordinary: bool

    @property
    def untouched(self) -> bool:
        return sha256(f"{_HALVES_SEED}:{self.id}".encode()).digest()[-1] % 2 == 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question, the pages that are listed at once, and whether it is a list at once, or after a refusal."""

    asked: Asked
    pages: frozenset[Page]
    at_once: bool
    later: bool

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(page.key for page in self.pages)

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset(page.key for page in self.asked.on)


def run(report: Report) -> None:
    """Ask all questions and add the figures."""
    asked, files = questions()
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    with _modes(files) as modes, bar("asking", len(asked)) as step:
        outcomes = []
        for one in asked:
            outcomes.append(_ask(modes, one))
            step()
    with ANSWERS.open("w", encoding="utf-8") as lines:
        lines.writelines(_as_json(one) for one in outcomes if not one.asked.untouched)
    for half, some in (
        ("the untouched half", [one for one in outcomes if one.asked.untouched]),
        ("the seen half", [one for one in outcomes if not one.asked.untouched]),
    ):
        add_figures(report, half, some)
    CONSOLE.print(f"lists of the seen half: {ANSWERS}")


def questions() -> tuple[tuple[Asked, ...], Mapping[str, Path]]:
    """Return the questions, and the file of each document of their collections by its key."""
    table = tomllib.loads((TRUTH / "lists.toml").read_text(encoding="utf-8"))
    keys, files = documents("documents.toml", "lists.toml")
    asked = tuple(
        Asked(
            id=one["id"],
            ask=one["ask"],
            place=keys.get(one["in"], one["in"]),
            on=frozenset(pages(one.get("on", ()), keys)),
            language=one.get("language", "en"),
            ordinary=one.get("ordinary", False),
        )
        for one in table["questions"]
    )
    collections = {one.place.partition("/")[0] for one in asked}
    return asked, {key: path for key, path in files.items() if collection_of(key) in collections}


@dataclass(frozen=True, slots=True)
class _Catalogue:
    generations: Mapping[str, str]

    def live(self, keys: Sequence[str]) -> Mapping[str, str]:
        return {key: self.generations[key] for key in keys if key in self.generations}

    def described(self, keys: Sequence[str]) -> Mapping[str, LiveDocument]:
        return {key: LiveDocument(one, Attributes()) for key, one in self.live(keys).items()}

    def under(self, collection: str | None, prefix: str, _most: int) -> tuple[Mapping[str, LiveDocument], int]:
        keys = [key for key in self.generations if key.startswith(prefix)]
        found = self.described([key for key in keys if collection in {None, collection_of(key)}])
        return found, len(found)

    def get(self, key: str) -> Any:
        return SimpleNamespace(status=None) if key in self.generations else None


@contextmanager
def _modes(files: Mapping[str, Path]) -> Iterator[Modes]:
    embedder = CachedEmbedder(MODEL_DIR)
    with new_index(embedder.fingerprint) as index:
        generations, _ = indexed(files, index, embedder, IngestLimits().chunk_tokens)
        catalogue: Any = _Catalogue(generations)
        router = Router(embedder, language=ModelCalibration.read(MODEL_DIR).language)
        ways = {Mode.LIST: Census(Library(index, catalogue, _LOOK_S), router.subjects)}
        yield Modes(router, ways, Retrieval(catalogue, index))


def _ask(modes: Modes, asked: Asked) -> Outcome:
    document = asked.place if "/" in asked.place else None
    scope = modes.retrieval.scope(
        Principal("key:a", collections=None), () if document else (asked.place,), document
    )
    vector = modes.router.embedder.embed_queries([asked.ask])[0].tolist()
    found = modes.retrieval.search(scope, vector, _TOP_K, asked.ask)
    searched = Searched(Mode.AUTO, asked.ask, scope, vector, found.passages, found.documents, _TOP_K)
    basis = modes.basis(searched)
    later = basis is None and modes.after_refusal(searched) is not None
    return Outcome(asked, listed(basis, asked.place), basis is not None, later)


def listed(basis: Basis | None, place: str) -> frozenset[Page]:
    """Return the pages of the lines of a list; those of one document have no key."""
    found = set[Page]()
    for line in basis.answer.text.splitlines() if basis and basis.answer else ():
        if match := _LINE.match(line):
            for part in match["pages"].replace("\u2013", "-").strip(",").split(","):
                first, _, last = part.partition("-")
                found |= {
                    Page(match["key"] or place, number) for number in range(int(first), int(last or first) + 1)
                }
    return frozenset(found)


def add_figures(report: Report, half: str, outcomes: Sequence[Outcome]) -> None:
    """Add the figures of one half of the questions, the goals first."""
    lists = [one for one in outcomes if one.asked.on]
    hits = Counter[str]()
    for one in lists:
        hits["documents"] += len(one.keys & one.wanted)
        hits["wanted"] += len(one.wanted)
        hits["listed"] += len(one.keys)
        hits["pages"] += len(one.pages & one.asked.on)
        hits["pages wanted"] += len(one.asked.on)
        hits["pages listed"] += len(one.pages)
    add_share(report, f"{half}: recall of documents", hits["documents"], hits["wanted"], ">= 90")
    add_share(report, f"{half}: precision of documents", hits["documents"], hits["listed"], ">= 90")
    add_share(report, f"{half}: recall of pages", hits["pages"], hits["pages wanted"])
    add_share(report, f"{half}: precision of pages", hits["pages"], hits["pages listed"])
    for language in ("en", "de", "fr", "es"):
        some = [one for one in lists if one.asked.language == language]
        add_share(
            report,
            f"{half}: exactly the right documents, {language}",
            sum(o.keys == o.wanted for o in some),
            len(some),
        )
    nothing = [one for one in outcomes if not one.asked.on and not one.asked.ordinary]
    ordinary = [one for one in outcomes if one.asked.ordinary]
    add_share(
        report, f"{half}: subjects of no document that list one", sum(bool(o.pages) for o in nothing), len(nothing)
    )
    add_share(
        report, f"{half}: ordinary questions taken for lists", sum(o.at_once for o in ordinary), len(ordinary)
    )
    add_share(report, f"{half}: the same after a refusal", sum(o.later for o in ordinary), len(ordinary))


def _as_json(one: Outcome) -> str:
    def shown(some: frozenset[Page]) -> list[str]:
        return sorted(f"{page.key}#{page.number}" for page in some)

    fields = {
        "id": one.asked.id,
        "question": one.asked.ask,
        "list": one.at_once,
        "after a refusal": one.later,
        "missing": shown(one.asked.on - one.pages),
        "wrong": shown(one.pages - one.asked.on),
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"
