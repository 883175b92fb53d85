"""Rows about messages whose workers die at every receive, and about holders that die during a change."""

import time
from collections.abc import Iterable
from functools import partial

from benchmarks.faults.delivery import Receipt
from benchmarks.faults.reader import HIDDEN_WITHIN_S, Reader
from benchmarks.faults.row import BUCKETS, Outcome, Run, key_of, scene
from benchmarks.faults.workers import Workers
from benchmarks.faults.world import World
from docwell.ingest.events import parse
from infra.local.names import DEAD_LETTER_QUEUE

# The number of keys; some of them change in each round.
_KEYS = 12


def dead_letters(run: Run) -> Outcome:
    """Deletes and replacements whose workers are killed at every receive, some at the dead-letter queue too."""
    outcome, slowest = Outcome(), 0.0
    rounds, buckets = run.times(12, 2), run.variants(*BUCKETS)
    for versioned in buckets:
        world = World(f"{run.seed} {versioned}", versioned=versioned)
        with scene(run, outcome, world, 3, timeout_s=300) as (workers, reader):
            _fill(world, workers, outcome)
            for number in run.rounds(rounds, 1 / len(buckets), lambda: outcome.facts.get("dead letters", 0)):
                run.say(f"round {number + 1} of {rounds} ({'versions' if versioned else 'no versions'})")
                doomed = set(world.random.sample(sorted(map(key_of, range(_KEYS))), 2))
                workers.doom = partial(_of_keys, world, doomed)
                for key in doomed:
                    _delete_or_replace(world, key)
                slowest = max(slowest, _check_given_up(world, reader, outcome, doomed))
                workers.doom = lambda _: None
                outcome.stuck(workers.settle(120))
                outcome.must_happen("dead letters", world.queue.dead_ever, "messages")
    outcome.goals["slowest change: from its event until its message was parked"] = (
        slowest,
        "s",
        f"<= {HIDDEN_WITHIN_S:g}",
    )
    return outcome


def holder_dies(run: Run) -> Outcome:
    """A document is deleted or replaced while the holder of its lease dies, again at each receive."""
    outcome, kills = Outcome(), 0
    rounds, buckets = run.times(30, 4), run.variants(*BUCKETS)
    for versioned in buckets:
        world = World(f"{run.seed} {versioned}", versioned=versioned, range_pages=100)
        with scene(run, outcome, world, 3, timeout_s=300) as (workers, _):
            _fill(world, workers, outcome)
            for number in run.rounds(rounds, 1 / len(buckets), lambda: workers.outcomes["crashed"]):
                run.say(f"round {number + 1} of {rounds} ({'versions' if versioned else 'no versions'})")
                key = key_of(world.random.randrange(_KEYS))
                world.put(key, pages=world.random.randint(8, 24))
                outcome.stuck(workers.settle(60))
                workers.doom = partial(_of_rebuilds, world)
                world.hint(key, rebuild=True)
                deadline = time.monotonic() + 10
                while not workers.busy() and time.monotonic() < deadline:
                    time.sleep(0.01)
                time.sleep(world.random.uniform(0, 0.5))
                _delete_or_replace(world, key)
                time.sleep(world.random.uniform(2, 6))
                workers.doom = lambda _: None
                outcome.stuck(workers.settle(120))
        kills += workers.outcomes["crashed"]
    outcome.must_happen("kills", kills, "workers")
    return outcome


def _fill(world: World, workers: Workers, outcome: Outcome) -> None:
    for number in range(_KEYS):
        world.put(key_of(number))
    outcome.stuck(workers.settle(120))


def _delete_or_replace(world: World, key: str) -> None:
    if key in world.current and world.random.random() < 0.6:
        world.delete(key)
    else:
        world.put(key)


def _of_keys(world: World, keys: set[str], receipt: Receipt) -> float | None:
    """Kill the workers that receive the keys' messages, and half of those that give them up."""
    dead_letter = receipt.event["Records"][0]["eventSourceARN"].endswith(DEAD_LETTER_QUEUE)
    doomed = not dead_letter or world.random.random() < 0.5
    return world.random.uniform(0, 0.5) if doomed and any(one.key in keys for one in parse(receipt.body)) else None


def _of_rebuilds(world: World, receipt: Receipt) -> float | None:
    return world.random.uniform(0.1, 0.8) if '"rebuild": true' in receipt.body else None


def _check_given_up(world: World, reader: Reader, outcome: Outcome, keys: Iterable[str]) -> float:
    """Wait until the keys' messages are parked, then ask about each. Return the seconds since their last change.

    Nothing is redriven yet: only the dead-letter queue's consumer can have hidden a version.
    """
    changed_at = max(world.changed_at[key] for key in keys)
    while world.queue.size() and time.monotonic() < changed_at + HIDDEN_WITHIN_S:
        time.sleep(0.05)
    seconds = time.monotonic() - changed_at
    outcome.stuck(world.queue.size())
    for key in keys:
        for version in reader.shown(key):
            if world.uploads[key, version] != world.current.get(key):
                outcome.wrong.append(f"{key!r} is shown from an old version, and its message is parked")
    return seconds
