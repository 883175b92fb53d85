"""Rows in which the index is built again: after the loss of Chroma's volume, and for a new pipeline."""

from __future__ import annotations

import json
import time
from typing import Any

from benchmarks.faults.documents import CHUNK_TOKENS, NEXT_CHUNK_TOKENS
from benchmarks.faults.reader import Reader
from benchmarks.faults.row import Outcome, Run, change, key_of
from benchmarks.faults.rows_dependencies import users
from benchmarks.faults.workers import Workers
from benchmarks.faults.world import World
from infra.local.lambda_runtime import Environment, FunctionError, FunctionSpec

HANDLER = "functions.reconcile.handler.handler"


class Reconciler:
    """The reconcile function in an environment of its own, begun again where it was killed."""

    def __init__(self, world: World, workers: Workers) -> None:
        """Nothing is started."""
        short = {"DOCWELL_STUCK_AFTER_S": "0.5", "DOCWELL_STOP_BEFORE_S": "1"}
        self._spec = FunctionSpec(
            HANDLER, world.environment(**short), timeout_s=120, init_timeout_s=120, on_line=workers.lines.append
        )

    def call(self, **event: Any) -> dict[str, Any]:
        """One call. Raises `FunctionError`."""
        environment = Environment(self._spec)
        try:
            answer: dict[str, Any] = json.loads(environment.invoke(json.dumps(event).encode()))
            return answer
        finally:
            environment.kill()

    def until_complete(self, timeout_s: float = 300) -> int:
        """Run passes until one is complete. Gives the messages that were sent."""
        deadline, sent = time.monotonic() + timeout_s, 0
        while time.monotonic() < deadline:
            try:
                answer = self.call(action="reconcile", force=True)
            except FunctionError:
                continue
            sent += sum(int(one["sent"]) for one in answer["pipelines"])
            if answer["complete"]:
                return sent
        return sent


def volume_lost(run: Run) -> Outcome:
    """The whole Chroma volume is lost while documents come in; then reconcile."""
    outcome = Outcome()
    keys = run.times(120, 15)
    with World(run.seed, range_pages=3) as world, Workers(world, 2) as workers, Reader(world, run.seed) as reader:
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
            hints = reconciler.until_complete()
            if number == 0:  # everything was lost
                outcome.must_happen("hints of pass 1", hints, "hints")
            else:
                outcome.facts["hints of pass 2"] = hints
            outcome.stuck(workers.settle(600))
            run.advance(0.25)
        outcome.at_rest(world, workers, run)
        outcome.read(reader)
    return outcome


def reindex(run: Run) -> Outcome:
    """A new pipeline under a stream of uploads, deletes and queries, with kills in the middle; then the switch."""
    outcome = Outcome()
    keys = run.times(60, 12)
    tokens = (CHUNK_TOKENS, NEXT_CHUNK_TOKENS)
    with (
        World(run.seed, chunk_tokens=tokens, range_pages=3) as world,
        Workers(world, 2) as workers,
        Reader(world, run.seed) as reader,
    ):
        for number in range(keys):
            world.put(key_of(number), pages=world.random.choice([1, 2, 7]))
            run.advance(0.2 / keys)
        outcome.stuck(workers.settle(300, lambda left: run.say(f"the old index: {left} messages left")))
        reconciler = Reconciler(world, workers)
        with users(world, keys, pause_s=1.0):
            _start(run, world, workers, reconciler)
            run.advance(0.3)
            switched = _switch(run, reconciler, time.monotonic() + run.times(180, 25))
            run.advance(0.3)
        outcome.facts["switched under the stream"] = switched
        if not switched:
            switched = _switch(run, reconciler, time.monotonic() + 300)
        for _ in range(5):
            change(world, keys)
        outcome.stuck(workers.settle(300))
        run.say("the old index is removed")
        reconciler.call(action="reindex", step="switch")
        if not switched:
            outcome.differences["stuck"] += 1
            outcome.examples.append("stuck: the re-index did not become complete in time")
        run.say("comparing")
        found = world.comparator().compare_patiently(20, pipelines=world.pipelines[1:])
        outcome.add(found)
        outcome.read(reader)
        outcome.must_happen("kills", workers.outcomes["crashed"], "workers")
        outcome.facts["receives"] = world.queue.delivered
        if not outcome.ok:
            outcome.logs += workers.lines
    return outcome


def _start(run: Run, world: World, workers: Workers, reconciler: Reconciler) -> None:
    """Begin, with workers killed meanwhile."""
    run.say("the new index is begun")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if reconciler.call(action="reindex", step="start")["all_hinted"]:
                break
        except FunctionError:
            continue
    for _ in range(run.times(10, 3)):
        deadline = time.monotonic() + 20
        while not workers.kill_at_work(world.random.uniform(0, 0.4)) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(world.random.uniform(0, 0.8))


def _switch(run: Run, reconciler: Reconciler, deadline: float) -> bool:
    """Switch as soon as the new index is complete. Whether it came to that."""
    while time.monotonic() < deadline:
        try:
            answer = reconciler.call(action="reindex", step="switch")
        except FunctionError:
            continue
        if answer["switched"]:
            return True
        run.say(f"{answer.get('settled')} of {answer.get('keys')} documents are in the new index")
        time.sleep(0.5)
    return False
