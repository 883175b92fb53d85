"""Rows in which processes die, and in which the index is rebuilt."""

import json
import time
from contextlib import suppress
from typing import Any

from benchmarks.faults.documents import CHUNK_TOKENS, NEXT_CHUNK_TOKENS
from benchmarks.faults.row import MOST_WAITING, Outcome, Run, change, key_of, scene, users
from benchmarks.faults.workers import Workers
from benchmarks.faults.world import World
from infra.local.stack import StackOptions
from runtime.functions import Environment, FunctionError, FunctionSpec

# A worker that is stopped for longer than this has lost its lease when it continues.
_SHORT_LEASE_S = 2.0


def kill_ingest(run: Run) -> Outcome:
    """SIGKILL for the ingest process at random instants, then redelivery."""
    outcome = Outcome()
    kills = run.times(200, 12)
    world = World(run.seed)
    with scene(run, outcome, world, 2) as (workers, _):
        for number in run.steps(kills):
            run.say(f"kill {number + 1} of {kills}")
            after_s = world.random.uniform(0, 0.5)
            deadline = time.monotonic() + 60
            while not workers.kill_at_work(after_s) and time.monotonic() < deadline:
                if world.queue.size() < MOST_WAITING:
                    change(world, 40)
                time.sleep(0.01)
        outcome.must_happen("kills", workers.outcomes["crashed"], "workers")
    return outcome


def kill_chroma(run: Run) -> Outcome:
    """SIGKILL for Chroma at random instants under load, then a restart."""
    outcome = Outcome()
    kills = run.times(50, 3)
    world = World(run.seed)
    with scene(run, outcome, world, 2) as (_, reader):
        with users(world, 40, pause_s=0.02):
            for number in run.steps(kills):
                run.say(f"kill {number + 1} of {kills}")
                time.sleep(world.random.uniform(0.5, 2.5))
                world.chroma.kill()
                time.sleep(world.random.uniform(0, 0.5))
                world.chroma.start()
        outcome.facts["kills"] = kills
    outcome.must_happen("reader: typed errors", reader.unavailable, "questions")
    return outcome


def same_key(run: Run) -> Outcome:
    """Two, then eight workers on the same key; some hang for longer than their lease and then continue."""
    outcome, pauses = Outcome(), 0
    counts = run.variants(2, 8)
    for count in counts:
        world = World(f"{run.seed} {count}")
        lease = {"DOCWELL_LEASE_S": str(_SHORT_LEASE_S)}
        with scene(run, outcome, world, count, environment=lease) as (workers, _):
            rounds = run.times(40, 5)
            for number in run.rounds(rounds, 1 / len(counts), lambda: workers.paused):
                run.say(f"{count} workers, change {number + 1} of {rounds}")
                _crowd(world, workers, count)
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


class Reconciler:
    """The reconcile function; each call starts a new environment."""

    def __init__(self, world: World, workers: Workers) -> None:
        short = {"DOCWELL_STUCK_AFTER_S": "0.5", "DOCWELL_STOP_BEFORE_S": "1"}
        self._spec = FunctionSpec(
            StackOptions.reconcile_handler,
            world.environment(**short),
            timeout_s=120,
            init_timeout_s=120,
            on_line=workers.lines.append,
        )

    def call(self, **event: Any) -> dict[str, Any]:
        """Call it once. Raises `FunctionError`."""
        environment = Environment(self._spec)
        try:
            answer: dict[str, Any] = json.loads(environment.invoke(json.dumps(event).encode()))
            return answer
        finally:
            environment.kill()

    def until(self, timeout_s: float, done: str, run: Run, **event: Any) -> list[dict[str, Any]]:
        """Call it until the answer's field `done` is true, or the time is over. Return the answers."""
        deadline, answers = time.monotonic() + timeout_s, list[dict[str, Any]]()
        while time.monotonic() < deadline and not (answers and answers[-1][done]):
            with suppress(FunctionError):
                answers.append(self.call(**event))
                if "settled" in answers[-1]:
                    run.say("{settled} of {keys} documents are in the new index".format(**answers[-1]))
                    time.sleep(0.5)
        return answers


def volume_lost(run: Run) -> Outcome:
    """The whole Chroma volume is lost while documents come in; then reconcile."""
    outcome = Outcome()
    keys = run.times(120, 15)
    world = World(run.seed, range_pages=3)
    with scene(run, outcome, world, 2) as (workers, _):
        for number in range(keys):
            run.say(f"{number + 1} of {keys} documents")
            world.put(key_of(number), pages=world.random.choice([1, 2, 2, 7]))
            run.advance(0.2 / keys)
        workers.settle(300)
        run.say("the volume is lost")
        for number in range(5):
            world.put(key_of(number))
        world.delete(key_of(5))
        time.sleep(0.3)
        world.chroma.lose_volume()
        time.sleep(1)
        world.chroma.start()
        outcome.stuck(workers.settle(120))
        run.advance(0.3)
        reconciler = Reconciler(world, workers)
        for number in range(2):
            run.say(f"reconcile, pass {number + 1}")
            time.sleep(1)
            passes = reconciler.until(300, "complete", run, action="reconcile", force=True)
            hints = sum(int(pipeline["sent"]) for answer in passes for pipeline in answer["pipelines"])
            if number == 0:
                outcome.must_happen("hints of pass 1", hints, "hints")
            else:
                outcome.facts["hints of pass 2"] = hints
            outcome.stuck(workers.settle(600))
            run.advance(0.25)
    return outcome


def reindex(run: Run) -> Outcome:
    """A new pipeline under a stream of uploads, deletes and queries, with kills in the middle; then the switch."""
    outcome, keys = Outcome(), run.times(60, 12)
    world = World(run.seed, chunk_tokens=(CHUNK_TOKENS, NEXT_CHUNK_TOKENS), range_pages=3)
    switch = {"action": "reindex", "step": "switch"}
    with scene(run, outcome, world, 2, pipelines=world.pipelines[1:]) as (workers, _):
        for number in range(keys):
            world.put(key_of(number), pages=world.random.choice([1, 2, 7]))
            run.advance(0.2 / keys)
        outcome.stuck(workers.settle(300, lambda left: run.say(f"the old index: {left} messages left")))
        reconciler = Reconciler(world, workers)
        with users(world, keys, pause_s=1.0):
            _start(run, world, workers, reconciler)
            run.advance(0.3)
            answers = reconciler.until(run.times(180, 25), "switched", run, **switch)
            run.advance(0.3)
        outcome.facts["switched under the stream"] = bool(answers and answers[-1]["switched"])
        if not outcome.facts["switched under the stream"]:
            answers = reconciler.until(300, "switched", run, **switch)
        if not (answers and answers[-1]["switched"]):
            outcome.differences["stuck"] += 1
            outcome.examples.append("stuck: the re-index did not complete in time")
        for _ in range(5):
            change(world, keys)
        outcome.stuck(workers.settle(300))
        run.say("the old index is removed")
        reconciler.call(**switch)
    outcome.must_happen("kills", workers.outcomes["crashed"], "workers")
    return outcome


def _start(run: Run, world: World, workers: Workers, reconciler: Reconciler) -> None:
    run.say("the new index is started")
    reconciler.until(120, "all_hinted", run, action="reindex", step="start")
    for _ in range(run.times(10, 3)):
        deadline = time.monotonic() + 20
        while not workers.kill_at_work(world.random.uniform(0, 0.4)) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(world.random.uniform(0, 0.8))
