"""The questions as people ask them, with their truth: the tables in `truth/`, checked as they are read.

Each file holds one kind. Pages are written `name#1,2`, with a short name of `documents.toml`. A seed decides which
half of each kind stays untouched: it is measured and not looked at. Questions that were looked at all the same are
marked `seen` and are never in that half.
"""

import random
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from docwell.cli.evaluation.verdicts import Page
from infra.report import EVALUATION, ROOT

TRUTH = Path(__file__).parent / "truth"
_HALVES_SEED = 7


class Kind(StrEnum):
    """The kind of a question: the name of its file."""

    PLAIN = "plain"
    TABLE = "table"
    YES_NO = "yes-no"
    OVERVIEW = "overview"
    COMPARISON = "comparison"
    LIST = "list"
    TWO_PAGES = "two-pages"
    ABSENT = "absent"


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
class Asked:
    """One question. It names a document, a collection or nothing.

    `never` are wordings that only a wrong answer says. `holds`, `negated` and `denies` are of yes/no questions
    (`truth/yes-no.toml`); `mention` and `on` are of lists over documents (`truth/list.toml`).
    """

    id: str
    kind: Kind
    ask: str
    untouched: bool
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
        return self.kind is not Kind.ABSENT

    @property
    def musts(self) -> tuple[Fact, ...]:
        """The facts that an answer must say; those of yes/no questions are evidence, and "no" says enough."""
        said = self.kind not in {Kind.YES_NO, Kind.ABSENT}
        return tuple(fact for fact in self.facts if fact.must) if said else ()

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
        """Return those of the keys that must be in the index; a list needs its whole collection."""
        whole = f"{self.collection}/" if self.kind is Kind.LIST and self.collection else None
        named = {page.key for page in self.pages} | {self.document}
        return {key for key in keys if key in named or (whole is not None and key.startswith(whole))}


@dataclass(frozen=True, slots=True)
class Truth:
    """All questions, and the file of each document by its key."""

    questions: tuple[Asked, ...]
    files: Mapping[str, Path] = field(default_factory=dict)


@cache
def truth() -> Truth:
    """Read and check the tables. Raises `ValueError` for an unknown name or field, or for an id used twice."""
    keys, files = documents("documents.toml")
    collections = {key.partition("/")[0] for key in files}
    questions = tuple(one for kind in Kind for one in _of_kind(kind, keys, collections))
    ids = [one.id for one in questions]
    if twice := {one for one in ids if ids.count(one) > 1}:
        raise ValueError(f"used for two questions: {sorted(twice)}")
    return Truth(questions, files)


def documents(*tables: str) -> tuple[Mapping[str, str], Mapping[str, Path]]:
    """Return the key of each document by its short name, and its file by its key, from these tables."""
    keys, files = dict[str, str](), dict[str, Path]()
    for table in tables:
        found = tomllib.loads((TRUTH / table).read_text(encoding="utf-8"))
        for collection, paths in found.get("documents", found).items():
            for name, path in paths.items():
                keys[name] = f"{collection}/{Path(path).name}"
                files[keys[name]] = (ROOT if path.startswith("examples/") else EVALUATION) / path
    return keys, files


def sample(questions: Sequence[Asked], count: int | None, seed: int) -> list[Asked]:
    """Return so many questions, each kind in turn; all of them without a count. The order is by chance."""
    chooser = random.Random(seed)
    piles = [[one for one in questions if one.kind is kind] for kind in Kind]
    for pile in piles:
        chooser.shuffle(pile)
    chosen: list[Asked] = []
    while any(piles) and (count is None or len(chosen) < count):
        chosen += [pile.pop() for pile in piles if pile]
    chosen = chosen[:count]
    chooser.shuffle(chosen)  # a run that stops half-way has some of every kind
    return chosen


def _of_kind(kind: Kind, keys: Mapping[str, str], collections: set[str]) -> list[Asked]:
    entries = tomllib.loads((TRUTH / f"{kind}.toml").read_text(encoding="utf-8"))["questions"]
    by_chance = sorted(
        (entry["id"] for entry in entries if not entry.pop("seen", False)),
        key=lambda one: sha256(f"{_HALVES_SEED}:{one}".encode()).digest(),
    )
    untouched = set(by_chance[: (len(entries) + 1) // 2])
    return [_asked(kind, entry | {"untouched": entry["id"] in untouched}, keys, collections) for entry in entries]


def _asked(kind: Kind, entry: dict[str, Any], keys: Mapping[str, str], collections: set[str]) -> Asked:
    fields = dict(entry)
    place = fields.pop("in", None)
    if place in keys:
        fields["document"] = keys[place]
    elif place in collections:
        fields["collection"] = place
    elif place is not None:
        raise ValueError(f"{entry['id']}: neither a document nor a collection: {place}")
    facts = tuple(_fact(one, keys) for one in fields.pop("facts", ()))
    on = pages(fields.pop("on", ()), keys)
    for name in ("never", "denies", "mention"):
        fields[name] = tuple(fields.get(name, ()))
    try:
        return Asked(kind=kind, facts=facts, on=on, **fields)
    except TypeError as error:
        raise ValueError(f"{entry['id']}: {error}") from None


def _fact(entry: dict[str, Any], keys: Mapping[str, str]) -> Fact:
    fields = dict(entry)
    return Fact(say=tuple(fields.pop("say")), on=pages(fields.pop("on", ()), keys), **fields)


def pages(written: Iterable[str], keys: Mapping[str, str]) -> tuple[Page, ...]:
    """Read pages, each as `name#1,2`. Raises `ValueError`."""
    found: list[Page] = []
    for one in written:
        name, _, numbers = one.partition("#")
        if name not in keys or not re.fullmatch(r"\d+(,\d+)*", numbers):
            raise ValueError(f"not pages of a document: {one}")
        found += [Page(keys[name], int(number)) for number in numbers.split(",")]
    return tuple(found)
