"""Questions with their truth: those that people ask, in the tables of `truth/`.

Each file of `truth/` holds one kind. Pages are written `name#1,2`, with a short name of `documents.toml`. A seed
decides which half of each kind stays untouched: the report has its totals alone. Questions that were looked at all
the same are marked `seen` and are never in that half.
"""

import random
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from docwell.cli.evaluation.verdicts import Page
from infra.report import EVALUATION, ROOT

_TRUTH = Path(__file__).parent / "truth"
_SEED = 7


class Kind(StrEnum):
    """The kind of a question: the name of its file in `truth/`, or its origin in the evaluation sets."""

    PLAIN = "plain"
    TABLE = "table"
    YES_NO = "yes-no"
    OVERVIEW = "overview"
    COMPARISON = "comparison"
    LIST = "list"
    TWO_PAGES = "two-pages"
    ABSENT = "absent"
    ARTICLE = "article"
    FILING = "filing"
    REPORT = "report"
    ABSENT_ARTICLE = "absent article"
    ABSENT_FILING = "absent filing"
    ABSENT_REPORT = "absent from its report"


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement. `say` are its accepted wordings, in English notation.

    `stands` is the wording of the page where it has none of them. A `derived` fact, such as a count, stands
    nowhere.
    """

    say: tuple[str, ...]
    on: tuple[Page, ...] = ()
    stands: str | None = None
    must: bool = True
    derived: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """One question and its truth.

    An answer must say the `facts` and none of `never`. Of yes/no questions `holds` says whether the statement
    holds, of `negated` ones without the negation; `denies` are further words that deny it. A list over documents
    must cite each document of `on`, the pages with a wording of `mention` (the head of `truth/list.toml`).
    """

    id: str
    kind: Kind
    ask: str
    untouched: bool = False
    language: str = "en"
    document: str | None = None
    collection: str | None = None
    facts: tuple[Fact, ...] = ()
    never: tuple[str, ...] = ()
    holds: bool | None = None
    negated: bool = False
    denies: tuple[str, ...] = ()
    mention: tuple[str, ...] = ()
    on: tuple[Page, ...] = ()

    @property
    def answerable(self) -> bool:
        return not self.kind.startswith("absent")

    @property
    def musts(self) -> tuple[Fact, ...]:
        """The facts that an answer must say; those of yes/no questions are evidence, and "no" says enough."""
        stated = self.answerable and self.kind is not Kind.YES_NO
        return tuple(fact for fact in self.facts if fact.must) if stated else ()

    @property
    def pages(self) -> frozenset[Page]:
        """The pages that a citation may lead to."""
        return frozenset(page for pages in (self.on, *(fact.on for fact in self.facts)) for page in pages)

    @property
    def documents(self) -> frozenset[str]:
        """The documents that a list has to name; empty for a list within one document."""
        return frozenset(page.key for page in self.on)

    @property
    def body(self) -> dict[str, Any]:
        """The request. It sends no mode: docwell chooses."""
        fields = {"question": self.ask, "document": self.document, "collection": self.collection}
        return {name: value for name, value in fields.items() if value is not None}

    def needs(self, keys: Iterable[str]) -> set[str]:
        """Return the keys that must be in the index; a list needs its whole collection."""
        folder = f"{self.collection}/" if self.kind is Kind.LIST and self.collection else None
        named = {page.key for page in self.pages} | {self.document}
        return {key for key in keys if key in named or (folder is not None and key.startswith(folder))}


@cache
def truth() -> tuple[tuple[Question, ...], Mapping[str, Path]]:
    """Read the tables: all questions, and the file of each document by its key."""
    keys, files = dict[str, str](), dict[str, Path]()
    for collection, paths in tomllib.loads((_TRUTH / "documents.toml").read_text(encoding="utf-8")).items():
        for name, path in paths.items():
            keys[name] = f"{collection}/{Path(path).name}"
            files[keys[name]] = (ROOT if path.startswith("examples/") else EVALUATION) / path
    kinds = [kind for kind in Kind if (_TRUTH / f"{kind}.toml").is_file()]
    return tuple(question for kind in kinds for question in _of_kind(kind, keys)), files


def _of_kind(kind: Kind, keys: Mapping[str, str]) -> list[Question]:
    entries = tomllib.loads((_TRUTH / f"{kind}.toml").read_text(encoding="utf-8"))["questions"]
    by_chance = sorted(
        (entry["id"] for entry in entries if not entry.pop("seen", False)),
        key=lambda id_: sha256(f"{_SEED}:{id_}".encode()).digest(),
    )
    untouched = set(by_chance[: (len(entries) + 1) // 2])
    return [_read(kind, entry | {"untouched": entry["id"] in untouched}, keys) for entry in entries]


def _read(kind: Kind, fields: dict[str, Any], keys: Mapping[str, str]) -> Question:
    """Read one entry of a table. `in` names a document, otherwise a collection."""
    if place := fields.pop("in", None):
        fields |= {"document": keys[place]} if place in keys else {"collection": place}
    facts = tuple(
        Fact(**{**fact, "say": tuple(fact["say"]), "on": _pages(fact.get("on", ()), keys)})
        for fact in fields.pop("facts", ())
    )
    on = _pages(fields.pop("on", ()), keys)
    for name in ("never", "denies", "mention"):
        fields[name] = tuple(fields.get(name, ()))
    return Question(kind=kind, facts=facts, on=on, **fields)


def _pages(places: Iterable[str], keys: Mapping[str, str]) -> tuple[Page, ...]:
    """Read pages, each as `name#1,2`."""
    parts = [place.split("#") for place in places]
    return tuple(Page(keys[name], int(number)) for name, numbers in parts for number in numbers.split(","))


def choose(count: int | None) -> tuple[dict[str, Path], list[Question]]:
    """Return the files to index, by key, and this many questions, from each kind in turn; without a count, all.

    A small sample indexes fewer documents, so it meets fewer passages of others.
    """
    questions, files = truth()
    chooser = random.Random(_SEED)
    piles = [[question for question in questions if question.kind is kind] for kind in Kind]
    for pile in piles:
        chooser.shuffle(pile)
    chosen: list[Question] = []
    while any(piles) and (count is None or len(chosen) < count):
        chosen += [pile.pop() for pile in piles if pile]
    chosen = chosen[:count]
    chooser.shuffle(chosen)  # an interrupted run has some of every kind
    needed = set().union(*(question.needs(files) for question in chosen))
    return {key: files[key] for key in sorted(needed)}, chosen
