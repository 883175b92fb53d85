"""The stateful property test: Hypothesis changes a bucket and delivers messages, and a model says what must be."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from benchmarks.faults.compare import Comparator
from benchmarks.faults.delivery import DeliveryFaults, Receipt, UnkindQueue, notification
from benchmarks.faults.in_process import Clock, deliver, handler_of, settle
from benchmarks.faults.row import BUCKETS, Outcome, Run
from benchmarks.faults.world import World

_KEYS = ("c0/a+b %&.pdf", "c0/é 日本.pdf", "c1/x.pdf", "top.pdf")
_STEPS_OF_ONE = 25
# Small, so that documents of some pages have several ranges.
_RANGE_PAGES = 2
_FAULTS = DeliveryFaults(duplicate=0.15, late=0.4, longest_delay_s=50, twice=0.1, forgotten_acknowledgement=0.15)

_keys = st.sampled_from(_KEYS)


class _Bench:
    """One world with its handler: what all examples share."""

    def __init__(self, run: Run, seed: str, *, versioned: bool) -> None:
        self.run = run
        self.clock = Clock()
        queue = UnkindQueue(random.Random(seed), _FAULTS, time_scale=1, clock=self.clock)
        self.world = World(seed, versioned=versioned, range_pages=_RANGE_PAGES, queue=queue)
        self.comparator: Comparator = self.world.comparator()
        self.handle: Callable[[Receipt], bool] = lambda _: False
        self.steps = 0
        self.outcome = Outcome()


def _machine(bench: _Bench) -> type[RuleBasedStateMachine]:  # noqa: C901 - it is a list of rules
    """The state machine over one bench."""

    class Documents(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[str] = []

        @rule(key=_keys, pages=st.integers(1, 5))
        def put(self, key: str, pages: int) -> None:
            self._step()
            bench.world.put(key, pages)

        @rule(pages=st.integers(1, 5))
        def put_all(self, pages: int) -> None:
            self._step()
            for key in _KEYS:
                bench.world.put(key, pages)

        @rule(key=_keys)
        def put_the_same_again(self, key: str) -> None:
            self._step()
            if key in bench.world.current:
                bench.world.put_again(bench.world.current[key])

        @rule(key=_keys)
        def delete(self, key: str) -> None:
            self._step()
            bench.world.delete(key)

        @rule(key=_keys)
        def delete_and_put_the_same_again(self, key: str) -> None:
            self._step()
            upload = bench.world.current.get(key)
            if upload is not None:
                bench.world.delete(key)
                bench.world.put_again(upload)

        @rule(key=_keys)
        def undelete(self, key: str) -> None:
            self._step()
            if bench.world.versioned and key not in bench.world.current:
                bench.world.undelete(key)

        @rule(key=_keys, created=st.booleans())
        def an_old_event_comes_again(self, key: str, created: bool) -> None:  # noqa: FBT001 - drawn by name
            self._step()
            name = "ObjectCreated:Put" if created else "ObjectRemoved:Delete"
            bench.world.queue.send(notification(name, bench.world.bucket, key))

        @rule(key=_keys, rebuild=st.booleans())
        def hint(self, key: str, rebuild: bool) -> None:  # noqa: FBT001 - drawn by name
            self._step()
            bench.world.hint(key, rebuild=rebuild, sweep=not rebuild)

        @rule(count=st.integers(1, 6))
        def deliver(self, count: int) -> None:
            self._step()
            deliver(bench.world, bench.handle, bench.clock, count)

        def teardown(self) -> None:
            self._rest("at rest")
            for key in list(bench.world.current):
                bench.world.delete(key)
            self._rest("when all is deleted")

        @staticmethod
        def _step() -> None:
            bench.steps += 1
            bench.run.say(f"{bench.steps} steps ({'versions' if bench.world.versioned else 'no versions'})")

        @staticmethod
        def _rest(when: str) -> None:
            left = settle(bench.world, bench.handle, bench.clock)
            bench.outcome.stuck(left)
            found = bench.comparator.compare()
            bench.outcome.add(found)
            if left or not found.none:
                raise AssertionError(f"{when}: {found.count}, {left} messages left: {found.lines()}")

    return Documents


def model(run: Run) -> Outcome:
    """Uploads, overwrites, deletes and re-uploads, in a bucket with versions and in one without."""
    outcome = Outcome()
    buckets = run.variants(*BUCKETS)
    wanted = run.times(1200, 120)  # in each bucket
    for versioned in buckets:
        seed = f"{run.seed} {versioned}"
        bench = _Bench(run, seed, versioned=versioned)
        with contextlib.closing(bench.world), handler_of(bench.world) as handle:
            bench.handle, bench.outcome = handle, outcome
            round_ = 0
            while bench.steps < wanted and outcome.ok:
                before = bench.steps
                # The first examples of a seed are the simplest: with a few, nothing much happens.
                examples = min(25, max(6, (wanted - bench.steps) // _STEPS_OF_ONE))
                _examples(bench, f"{seed} {round_}", outcome, examples)
                round_ += 1
                run.advance(min(bench.steps - before, wanted - before) / wanted / len(buckets))
        outcome.facts["steps"] = outcome.facts.get("steps", 0) + bench.steps
    return outcome


def _examples(bench: _Bench, seed: str, outcome: Outcome, examples: int) -> None:
    """Some examples of one seed. A failure is not made smaller: each try takes seconds on real servers."""
    chosen = settings(
        max_examples=examples,
        stateful_step_count=_STEPS_OF_ONE,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    machine: Any = hypothesis.seed(random.Random(seed).randrange(2**32))(_machine(bench))
    try:
        run_state_machine_as_test(machine, settings=chosen)
    except AssertionError as error:
        outcome.examples.append(str(error)[:2000])
    except hypothesis.errors.HypothesisException as error:
        outcome.differences["stuck"] += 1
        outcome.examples.append(f"{type(error).__name__}: {error}"[:2000])
