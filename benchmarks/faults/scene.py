"""A world at work: its workers, its reader, its users' changes, and the checks once it is at rest."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.faults.compare import KINDS, Differences, PipelinePlace
from benchmarks.faults.delivery import CREATED, REMOVED, notification
from benchmarks.faults.reader import Reader
from benchmarks.faults.workers import Workers
from benchmarks.faults.world import World
from benchmarks.proxy import Proxy
from infra.local.stack import StackOptions
from infra.report import meets
from runtime.functions import Environment, FunctionError, FunctionSpec

# The time limit of the final comparison: the leases of killed workers expire before it.
_PATIENCE_S = 15.0
# Users pause while more messages wait, so that the queue stays short.
MOST_WAITING = 12
_SETTLED_S = 300.0


@dataclass
class Run:
    """How to run a row: its seed, its length, and where it shows its progress."""

    seed: str
    short: bool
    say: Callable[[str], None] = lambda _: None

    def times(self, long: int, short: int) -> int:
        return short if self.short else long

    def buckets(self) -> tuple[bool, ...]:
        """Return whether buckets have versions: both kinds, in the short form the kind that the seed chooses.

        Without versions the ETag is the version, and the same bytes are the same version again.
        """
        return (random.Random(self.seed).choice((True, False)),) if self.short else (True, False)


@dataclass
class Outcome:
    """The result of a row. `differences` and `wrong` must be empty; `facts` say how hard the row was."""

    differences: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    examples: list[str] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)
    # Figures with a goal: name -> (value, unit, goal).
    goals: dict[str, tuple[float, str, str]] = field(default_factory=dict)
    compared: int = 0  # chunks
    questions: int = 0
    wrong: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        met = all(meets(value, goal) for value, _, goal in self.goals.values())
        return met and self.compared > 0 and not any(self.differences.values()) and not self.wrong

    def add(self, differences: Differences) -> None:
        for kind, count in differences.count.items():
            self.differences[kind] += count
        self.examples += differences.lines()
        self.compared += differences.chunks

    def stuck(self, messages: int) -> None:
        if messages:
            self.differences["stuck"] += messages
            self.examples.append(f"stuck: {messages} messages were not done in time")

    def add_raised(self, trace: str) -> None:
        self.differences["stuck"] += 1
        self.examples += trace.splitlines()[-12:]

    def must_happen(self, fact: str, count: float, unit: str) -> None:
        """Add to a fact without which the row proves nothing; its goal is at least one."""
        total = self.facts.get(fact, 0) + count
        self.facts[fact] = total
        self.goals[fact] = (total, unit, ">= 1")


@dataclass
class Scene:
    """A world with its workers and its reader; each row adds to `outcome`.

    The workers reach Chroma, S3 and DynamoDB through `proxies`.
    """

    run: Run
    world: World
    workers: Workers
    reader: Reader
    proxies: Mapping[str, Proxy]
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def random(self) -> random.Random:
        return self.world.random

    def settle(self) -> None:
        """Wait until every message is done."""
        left = self.workers.settle(_SETTLED_S, lambda left: self.run.say(f"{left} messages left"))
        self.outcome.stuck(left)

    def settle_and_compare(self, pipelines: Sequence[PipelinePlace] = ()) -> None:
        """Wait for the last message, then compare. Where all is deleted, put one back and compare again."""
        self.settle()
        self.run.say("comparing")
        self.outcome.add(self.world.comparator(pipelines).compare_patiently(_PATIENCE_S))
        if self.world.uploads and not self.world.current:
            self.world.put_again(next(reversed(self.world.uploads.values())))
            self.settle_and_compare(pipelines)
        elif not self.outcome.ok:
            self.outcome.logs += self.workers.lines

    def fill(self, count: int) -> None:
        """Upload the first `count` keys that the bucket lacks, and wait until they are done."""
        for number in range(count):
            if key_of(number) not in self.world.current:
                self.world.put(key_of(number))
        self.settle()

    def pause(self, least_s: float, most_s: float) -> None:
        time.sleep(self.random.uniform(least_s, most_s))

    def change(self, keys: int) -> None:
        """Make one random change to one of the first `keys` keys, as a user would."""
        world, key, draw = self.world, key_of(self.random.randrange(keys)), self.random.random()
        if key in world.current and draw < 0.25:
            world.delete(key)
        elif key in world.current and draw < 0.32:
            world.put_again(world.current[key])
        elif world.versioned and key not in world.current and key in world.changes and draw < 0.3:
            world.undelete(key)
        elif draw > 0.95:  # an old event comes again
            world.queue.send(notification(self.random.choice((CREATED, REMOVED)), world.bucket, key))
        else:
            world.put(key)

    @contextmanager
    def users(self, keys: int, pause_s: float = 0.05) -> Iterator[None]:
        """Change documents during the block, while not too many messages wait."""
        done = threading.Event()

        def go() -> None:
            while not done.wait(pause_s):
                if self.world.queue.size() < MOST_WAITING:
                    self.change(keys)

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(60)

    def reconcile(self, timeout_s: float, until: str, **event: Any) -> list[dict[str, Any]]:
        """Call the reconcile function until the answer's field `until` is true, or the time is over.

        Each call starts a new environment. Return the answers.
        """
        variables = self.world.environment(DOCWELL_STUCK_AFTER_S="0.5", DOCWELL_STOP_BEFORE_S="1")
        spec = FunctionSpec(
            StackOptions.reconcile_handler,
            variables,
            timeout_s=120,
            init_timeout_s=120,
            on_line=self.workers.lines.append,
        )
        deadline, answers = time.monotonic() + timeout_s, list[dict[str, Any]]()
        while time.monotonic() < deadline and not (answers and answers[-1][until]):
            environment = Environment(spec)
            with suppress(FunctionError):
                answers.append(json.loads(environment.invoke(json.dumps(event).encode())))
            environment.kill()
        return answers


@contextmanager
def scene(run: Run, world: World, workers: int, **environment: str) -> Iterator[Scene]:
    """Run workers and a reader in a world during the block; the workers reach every server through a proxy."""
    aws_port = int(world.stack.aws_endpoint.rsplit(":", 1)[1])
    with (
        world,
        # Make stalls longer than the workers' timeout for Chroma.
        closing(Proxy(world.chroma_port, seed=run.seed, stall_s=1.6)) as chroma,
        closing(Proxy(aws_port, seed=f"{run.seed} s3")) as s3,
        closing(Proxy(aws_port, seed=f"{run.seed} dynamodb")) as dynamodb,
    ):
        variables = world.environment(
            DOCWELL_CHROMA_URL=chroma.url,
            AWS_ENDPOINT_URL_S3=s3.url,
            AWS_ENDPOINT_URL_DYNAMODB=dynamodb.url,
            **environment,
        )
        with Workers(world, workers, variables) as started, Reader(world, run.seed) as reader:
            yield Scene(run, world, started, reader, {"chroma": chroma, "s3": s3, "dynamodb": dynamodb})


def key_of(number: int) -> str:
    names = ("plain-{}.pdf", "a+b %&{}.pdf", "é 日本 {}.pdf", "deep/er/{}.pdf")
    return f"c{number % 3}/" + names[number % len(names)].format(number)
