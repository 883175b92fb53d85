"""The input and the outcome of a row of the suite."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from benchmarks.faults.compare import KINDS, Differences
from benchmarks.faults.reader import Reader
from benchmarks.faults.workers import OnDone, Workers
from benchmarks.faults.world import World
from infra.report import meets

# The time limit of the final comparison: the leases of killed workers expire before it.
_PATIENCE_S = 15.0
# The extra rounds while the row's fault has not happened. A quarter of the rounds or more has it.
_MORE_ROUNDS = 40
# Users pause while more messages wait: the queue must be busy, not endless.
MOST_WAITING = 12
# With versions and without: then the ETag is the version, and the same bytes are the same version again.
BUCKETS = (True, False)

Variant = TypeVar("Variant")


@dataclass
class Run:
    """How to run a row: its seed, its length, and where it shows its progress."""

    seed: str
    short: bool
    advance: Callable[[float], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None

    def times(self, long: int, short: int) -> int:
        return short if self.short else long

    def variants(self, *all_of_them: Variant) -> tuple[Variant, ...]:
        """Return all of them; in the short form the one that the seed chooses."""
        if not self.short:
            return all_of_them
        return (random.Random(self.seed).choice(all_of_them),)

    def steps(self, count: int) -> Iterator[int]:
        for number in range(count):
            yield number
            self.advance(1 / count)

    def rounds(self, count: int, share: float, happened: Callable[[], float]) -> Iterator[int]:
        """Yield as `steps` for a share of the row, with more rounds until the row's fault has happened."""
        for number in range(count + _MORE_ROUNDS):
            if number >= count and happened():
                return
            yield number
            self.advance(share / count if number < count else 0)


@dataclass
class Outcome:
    """The result of a row. `differences` and `wrong` must be empty; `facts` say how hard the row was."""

    differences: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    examples: list[str] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)
    # Figures with a goal: name -> (value, unit, goal).
    goals: dict[str, tuple[float, str, str]] = field(default_factory=dict)
    compared: int = 0  # chunks
    statuses: Counter[str] = field(default_factory=Counter)  # of the ledger at rest
    asked: int = 0
    wrong: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        met = all(meets(value, goal) for value, _, goal in self.goals.values())
        return met and not any(self.differences.values()) and not self.wrong

    def add(self, found: Differences) -> None:
        for kind, count in found.count.items():
            self.differences[kind] += count
        self.examples += found.lines()
        self.compared += found.chunks

    def stuck(self, messages: int) -> None:
        if messages:
            self.differences["stuck"] += messages
            self.examples.append(f"stuck: {messages} messages were not done in time")

    def must_happen(self, fact: str, count: float, unit: str) -> None:
        """Add a fact without which the row proves nothing; its goal is at least one."""
        self.facts[fact] = count
        self.goals[fact] = (count, unit, ">= 1")

    def at_rest(
        self, world: World, workers: Workers, run: Run, *, timeout_s: float = 180.0, **compared: Any
    ) -> None:
        """Wait for the last message, then compare. Where all is deleted, put one back and compare again."""
        comparator = world.comparator()

        def rest() -> None:
            self.stuck(workers.settle(timeout_s, lambda left: run.say(f"{left} messages left")))
            run.say("comparing")
            found = comparator.compare_patiently(_PATIENCE_S, **compared)
            self.add(found)
            self.statuses = found.statuses

        rest()
        if world.uploads and not world.current:
            world.put_again(next(reversed(world.uploads.values())))
            rest()
        self.facts |= {
            name: self.facts.get(name, 0) + count
            for name, count in (
                ("receives", world.queue.delivered),
                ("times indexed", workers.outcomes["indexed"]),
                ("dead letters redriven", world.queue.dead_ever),
            )
        }
        if not self.ok:
            self.logs += workers.lines


def key_of(number: int) -> str:
    names = ("plain-{}.pdf", "a+b %&{}.pdf", "é 日本 {}.pdf", "deep/er/{}.pdf")
    return f"c{number % 3}/" + names[number % len(names)].format(number)


def change(world: World, keys: int, name: Callable[[int], str] = key_of) -> None:
    """Make one random change to one of the first `keys` keys, as a user would."""
    key = name(world.random.randrange(keys))
    draw = world.random.random()
    if key in world.current and draw < 0.25:
        world.delete(key)
    elif key in world.current and draw < 0.32:
        world.put_again(world.current[key])
    elif world.versioned and key not in world.current and key in world.changes and draw < 0.3:
        world.undelete(key)
    else:
        world.put(key)


@contextmanager
def scene(
    run: Run,
    outcome: Outcome,
    world: World,
    count: int,
    *,
    environment: Mapping[str, str] | None = None,
    on_done: OnDone = lambda *_: None,
    **rest: Any,
) -> Iterator[tuple[Workers, Reader]]:
    """Run workers and a reader in a world during the block, then compare `at_rest`, and close the world."""
    with world, Workers(world, count, world.environment(**(environment or {})), on_done) as workers:
        with Reader(world, run.seed) as reader:
            yield workers, reader
            outcome.at_rest(world, workers, run, **rest)
        outcome.asked += reader.asked
        outcome.wrong += reader.wrong


@contextmanager
def users(world: World, keys: int, pause_s: float = 0.05, name: Callable[[int], str] = key_of) -> Iterator[None]:
    """Change documents during the block, while not too many messages wait."""
    done = threading.Event()

    def go() -> None:
        while not done.wait(pause_s):
            if world.queue.size() < MOST_WAITING:
                change(world, keys, name)

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(60)
