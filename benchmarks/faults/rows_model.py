"""The stateful property test: Hypothesis changes a bucket and delivers messages."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from benchmarks.faults.delivery import DeliveryFaults, Receipt, UnkindQueue
from benchmarks.faults.row import BUCKETS, Outcome, Run
from benchmarks.faults.world import World
from benchmarks.functions import CREATED, REMOVED, ingest_handler, notification

_KEYS = ("c0/a+b %&.pdf", "c0/é 日本.pdf", "c1/x.pdf", "top.pdf")
_STEPS_OF_ONE = 25
# Small, so that documents of some pages have several ranges.
_RANGE_PAGES = 2
_FAULTS = DeliveryFaults(duplicate=0.15, late=0.4, longest_delay_s=50, twice=0.1, forgotten_acknowledgement=0.15)

_keys = st.sampled_from(_KEYS)


class _Bench:
    """One world with its handler, which all examples share."""

    def __init__(self, run: Run, seed: str, outcome: Outcome, *, versioned: bool) -> None:
        self.run = run
        self.clock = Clock()
        queue = UnkindQueue(random.Random(seed), _FAULTS, time_scale=1, clock=self.clock)
        self.world = World(seed, versioned=versioned, range_pages=_RANGE_PAGES, queue=queue)
        self.comparator = self.world.comparator()
        self.handle: Callable[[Receipt], bool] = lambda _: False
        self.steps = 0
        self.outcome = outcome

    def step(self) -> World:
        self.steps += 1
        self.run.say(f"{self.steps} steps ({'versions' if self.world.versioned else 'no versions'})")
        return self.world

    def rest(self, when: str) -> None:
        left = settle(self.world, self.handle, self.clock)
        self.outcome.stuck(left)
        found = self.comparator.compare()
        self.outcome.add(found)
        if left or not found.none:
            raise AssertionError(f"{when}: {found.count}, {left} messages left: {found.lines()}")


class _Documents(RuleBasedStateMachine):
    """The changes of users, and deliveries, in any order. Hypothesis makes one for each example."""

    bench: ClassVar[_Bench]

    @rule(key=_keys, pages=st.integers(1, 5))
    def put(self, key: str, pages: int) -> None:
        self.bench.step().put(key, pages)

    @rule(pages=st.integers(1, 5))
    def put_all(self, pages: int) -> None:
        world = self.bench.step()
        for key in _KEYS:
            world.put(key, pages)

    @rule(key=_keys)
    def put_the_same_again(self, key: str) -> None:
        world = self.bench.step()
        if key in world.current:
            world.put_again(world.current[key])

    @rule(key=_keys)
    def delete(self, key: str) -> None:
        self.bench.step().delete(key)

    @rule(key=_keys)
    def delete_and_put_the_same_again(self, key: str) -> None:
        world = self.bench.step()
        upload = world.current.get(key)
        if upload is not None:
            world.delete(key)
            world.put_again(upload)

    @rule(key=_keys)
    def undelete(self, key: str) -> None:
        world = self.bench.step()
        if world.versioned and key not in world.current:
            world.undelete(key)

    @rule(key=_keys, name=st.sampled_from((CREATED, REMOVED)))
    def an_old_event_comes_again(self, key: str, name: str) -> None:
        world = self.bench.step()
        world.queue.send(notification(name, world.bucket, key))

    @rule(key=_keys, kind=st.sampled_from(("rebuild", "sweep")))
    def hint(self, key: str, kind: str) -> None:
        self.bench.step().hint(key, rebuild=kind == "rebuild", sweep=kind == "sweep")

    @rule(count=st.integers(1, 6))
    def deliver(self, count: int) -> None:
        deliver(self.bench.step(), self.bench.handle, self.bench.clock, count)

    def teardown(self) -> None:
        self.bench.rest("at rest")
        for key in list(self.bench.world.current):
            self.bench.world.delete(key)
        self.bench.rest("when all is deleted")


def model(run: Run) -> Outcome:
    """Uploads, overwrites, deletes and re-uploads, in a bucket with versions and in one without."""
    outcome = Outcome()
    buckets = run.variants(*BUCKETS)
    wanted = run.times(1200, 120)  # in each bucket
    for versioned in buckets:
        seed = f"{run.seed} {versioned}"
        bench = _Bench(run, seed, outcome, versioned=versioned)
        with contextlib.closing(bench.world), handler_of(bench.world) as handle:
            bench.handle = handle
            round_ = 0
            while bench.steps < wanted and outcome.ok:
                before = bench.steps
                # The first examples of a seed are the simplest, so each round takes at least six.
                examples = min(25, max(6, (wanted - bench.steps) // _STEPS_OF_ONE))
                _examples(bench, f"{seed} {round_}", examples)
                round_ += 1
                run.advance(min(bench.steps - before, wanted - before) / wanted / len(buckets))
        outcome.facts["steps"] = outcome.facts.get("steps", 0) + bench.steps
    return outcome


def _examples(bench: _Bench, seed: str, examples: int) -> None:
    """Run some examples. A failure is not shrunk: each try takes seconds on real servers."""
    chosen = settings(
        max_examples=examples,
        stateful_step_count=_STEPS_OF_ONE,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    machine: Any = hypothesis.seed(random.Random(seed).randrange(2**32))(
        type("Documents", (_Documents,), {"bench": bench})
    )
    try:
        run_state_machine_as_test(machine, settings=chosen)
    except AssertionError as error:
        bench.outcome.examples.append(str(error)[:2000])
    except hypothesis.errors.HypothesisException as error:
        bench.outcome.differences["stuck"] += 1
        bench.outcome.examples.append(f"{type(error).__name__}: {error}"[:2000])


class Clock:
    """Seconds that pass only when `now` is set, so that a seed repeats the same order."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def handler_of(world: World) -> Iterator[Callable[[Receipt], bool]]:
    """Yield a function that handles one message and says whether it is done."""
    with ingest_handler(world.environment()) as handle:
        yield lambda receipt: handle(receipt.event)


def deliver(world: World, handle: Callable[[Receipt], bool], clock: Clock, most: int) -> int:
    """Handle up to `most` messages, moving the clock to each. Return how many were handled."""
    handled = 0
    while handled < most:
        receipt = world.queue.receive()
        if receipt is None:
            following = world.queue.next_at()
            if following is None:
                return handled
            clock.now = max(clock.now, following)
            continue
        handled += 1
        if handle(receipt):
            world.queue.acknowledge(receipt.receipt)
    return handled


def settle(world: World, handle: Callable[[Receipt], bool], clock: Clock, timeout_s: float = 120.0) -> int:
    """Deliver until nothing is left, and redrive dead letters. Return what is left when the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if deliver(world, handle, clock, 100) == 0 and world.queue.redrive() == 0:
            return 0
    return world.queue.size() + world.queue.parked()
