"""Rows in which processes die: ingest workers and Chroma."""

from __future__ import annotations

import time

from benchmarks.faults.reader import Reader
from benchmarks.faults.row import MOST_WAITING, Outcome, Run, change, key_of, users
from benchmarks.faults.workers import Workers
from benchmarks.faults.world import World

# A worker that is stopped for longer than this has lost its lease when it continues.
_SHORT_LEASE_S = 2.0


def kill_ingest(run: Run) -> Outcome:
    """SIGKILL for the ingest process at random instants, then redelivery."""
    outcome = Outcome()
    kills = run.times(200, 12)
    with World(run.seed) as world, Workers(world, 2) as workers, Reader(world, run.seed) as reader:
        for number in run.steps(kills):
            run.say(f"kill {number + 1} of {kills}")
            after_s = world.random.uniform(0, 0.5)
            deadline = time.monotonic() + 60
            while not workers.kill_at_work(after_s) and time.monotonic() < deadline:
                if world.queue.size() < MOST_WAITING:
                    change(world, 40)
                time.sleep(0.01)
        outcome.at_rest(world, workers, run)
        outcome.read(reader)
        outcome.must_happen("kills", workers.outcomes["crashed"], "workers")
    return outcome


def kill_chroma(run: Run) -> Outcome:
    """SIGKILL for Chroma at random instants under load, then a restart."""
    outcome = Outcome()
    kills = run.times(50, 3)
    with World(run.seed) as world, Workers(world, 2) as workers, Reader(world, run.seed) as reader:
        with users(world, 40, pause_s=0.02):
            for number in run.steps(kills):
                run.say(f"kill {number + 1} of {kills}")
                time.sleep(world.random.uniform(0.5, 2.5))
                world.chroma.kill()
                time.sleep(world.random.uniform(0, 0.5))
                world.chroma.start()
        outcome.at_rest(world, workers, run)
        outcome.read(reader)
        outcome.facts["kills"] = kills
        outcome.must_happen("reader: typed errors", reader.unavailable, "questions")
    return outcome


def same_key(run: Run) -> Outcome:
    """Two, then eight workers on the same key; some hang for longer than their lease and then continue."""
    outcome, pauses = Outcome(), 0
    counts = run.variants(2, 8)
    for count in counts:
        seed = f"{run.seed} {count}"
        with World(seed) as world:
            places = world.environment(DOCWELL_LEASE_S=str(_SHORT_LEASE_S))
            with Workers(world, count, places) as workers, Reader(world, seed) as reader:
                rounds = run.times(40, 5)
                for number in run.rounds(rounds, 1 / len(counts), lambda: workers.paused):
                    run.say(f"{count} workers, change {number + 1} of {rounds}")
                    _crowd(world, workers, count)
                outcome.at_rest(world, workers, run)
                outcome.read(reader)
                pauses += workers.paused
    outcome.must_happen("pauses", pauses, "workers")
    return outcome


def _crowd(world: World, workers: Workers, count: int) -> None:
    """Change one key, queue a hint for each worker, and perhaps pause one of them."""
    for _ in range(world.random.randint(1, 4)):
        change(world, 1)
    for _ in range(count):
        world.hint(key_of(0), sweep=world.random.random() < 0.2)
    time.sleep(world.random.uniform(0, 1.0))
    paused = world.random.random() < 0.5 and workers.pause_at_work(_SHORT_LEASE_S * 1.7)
    for _ in range(count if paused else 0):  # other workers must come while it hangs, and after its lease
        time.sleep(_SHORT_LEASE_S / count * 1.5)
        change(world, 1)
        world.hint(key_of(0))
    deadline = time.monotonic() + 10
    while world.queue.size() > MOST_WAITING and time.monotonic() < deadline:
        time.sleep(0.05)


def burst(run: Run) -> Outcome:
    """1,000 uploads at once of 300 keys, with overwrites and deletes among them."""
    outcome = Outcome()
    count, keys = run.times(1000, 60), run.times(300, 20)
    with World(run.seed) as world, Workers(world, 3) as workers, Reader(world, run.seed) as reader:
        run.say(f"{count} uploads")
        numbers = [*range(keys), *(world.random.randrange(keys) for _ in range(count - keys))]
        world.random.shuffle(numbers)
        for number in numbers:
            world.put(key_of(number), pages=world.random.randint(1, 2))
            if world.random.random() < 0.15:
                world.delete(key_of(world.random.choice(numbers)))
            run.advance(0.3 / count)
        while (left := world.queue.size()) > 0 and workers.busy():
            run.say(f"{left} messages left")
            time.sleep(0.5)
        run.advance(0.7)
        outcome.at_rest(world, workers, run, timeout_s=900)
        outcome.read(reader)
        outcome.facts["uploads"] = count
    return outcome
