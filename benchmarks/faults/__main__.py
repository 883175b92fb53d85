"""``python -m benchmarks.faults`` (`make faults`): the real handlers, Chroma and the AWS server under every fault.

It runs the rows, prints one table and writes build/reports/faults.json; docs/develop/faults.md describes them.
"""

import argparse
import json
import math
import random
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import psutil

from benchmarks.doors import run_command, until, workers_of
from benchmarks.faults.world import (
    CHUNK_TOKENS,
    CREATED,
    KINDS,
    NEXT_CHUNK_TOKENS,
    REMOVED,
    SHARDS,
    TABLE,
    Differences,
    PipelinePlace,
    Receipt,
    World,
    notification,
    question,
    text_of,
)
from benchmarks.poison.kinds import AMPLIFIERS, poison_kinds
from benchmarks.proxy import Fault, Proxy
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.errors import Unavailable
from docwell.identity import Principal
from docwell.ingest.events import parse
from docwell.models import DocumentRecord, Hint, Passage, Status
from docwell.pipeline import ACTIVE_PIPELINE
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from infra.local.stack import StackOptions
from infra.progress import CONSOLE, bar
from infra.report import ROOT, Report, meets
from runtime.functions import Environment, FunctionError, FunctionRaised, FunctionSpec
from runtime.poller import failed_ids

_HANDLER = StackOptions.ingest_handler
_IDLE_S = 0.02
_WARM_S = 120.0
# Many times the time that a short document takes.
_TIMEOUT_S = 90.0
# The environment variable that tells the workers' processes apart.
_SLOT = "DOCWELL_FAULTS_SLOT"


@dataclass
class _Slot:
    """One worker: its environment, and the time since which it is at work."""

    name: str
    environment: Environment | None = None
    busy_since: float | None = None
    warm: threading.Event = field(default_factory=threading.Event)

    def kill(self) -> None:
        if self.environment is not None:
            with suppress(OSError, ValueError):
                self.environment.kill()

    def kill_if_at_work(self, since: float) -> bool:
        """Kill the worker if it still works on the message that it received at `since`."""
        if self.busy_since != since:
            return False
        self.busy_since = None  # else a second call kills it too
        self.kill()
        return True


class Workers:
    """Workers that read the world's queue; a context manager that waits for all to be warm, and ends them."""

    def __init__(self, world: World, count: int, environment: dict[str, str]) -> None:
        """Start them."""
        self.outcomes: Counter[str] = Counter()
        self.lines: deque[str] = deque(maxlen=4000)
        # The seconds after which the worker that receives a message is killed, or at its end; None lets it live.
        self.doom: Callable[[Receipt], float | None] = lambda _: None
        self._world = world
        self._lease_s = float(environment["DOCWELL_LEASE_S"])
        self._leases_end = 0.0  # of the workers that died
        self._spec = FunctionSpec(
            _HANDLER, environment, timeout_s=_TIMEOUT_S, init_timeout_s=_WARM_S, on_line=self.lines.append
        )
        self._stopping = threading.Event()
        self._slots = [_Slot(f"{number}") for number in range(count)]
        self._threads = [threading.Thread(target=self._work, args=(slot,), daemon=True) for slot in self._slots]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        until(lambda: all(slot.warm.is_set() for slot in self._slots), _WARM_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for slot in self._slots:
            slot.kill()
        for slot, thread in zip(self._slots, self._threads, strict=True):
            thread.join(10)
            slot.kill()

    def busy(self) -> int:
        return sum(slot.busy_since is not None for slot in self._slots)

    def kill_at_work(self, after_s: float) -> bool:
        """Kill a worker that has been at work for `after_s` seconds. Return whether there was one."""
        for slot in sorted(self._slots, key=lambda slot: slot.busy_since or 0.0):
            if (since := slot.busy_since) is not None:
                time.sleep(max(0.0, since + after_s - time.monotonic()))
                if slot.kill_if_at_work(since):
                    return True
        return False

    def pause_at_work(self, seconds: float) -> bool:
        """Stop a worker at work for a while, as a host that hangs would. Return whether there was one."""
        busy = {slot.name for slot in self._slots if slot.busy_since is not None}
        for process in workers_of(psutil.Process(), _HANDLER):
            with suppress(psutil.Error):
                if process.environ().get(_SLOT) in busy:
                    process.suspend()
                    threading.Timer(seconds, _resume, [process]).start()
                    self.outcomes["paused"] += 1
                    return True
        return False

    def settle(self, timeout_s: float, on_wait: Callable[[int], None] = lambda _: None) -> int:
        """Wait until every message is done, and redrive parked ones. Return how many are left after that time.

        A parked message waits until the lease of a worker that died has ended, as the visibility timeout ensures
        in the cloud.
        """
        queue = self._world.queue

        def is_settled() -> bool:
            on_wait(queue.size())
            if queue.size() or self.busy():
                return False
            if queue.parked() and time.monotonic() > self._leases_end:
                queue.redrive()
            return queue.size() + queue.parked() == 0

        return 0 if until(is_settled, timeout_s, 0.1) else queue.size() + queue.parked()

    def _work(self, slot: _Slot) -> None:
        while not self._stopping.is_set():
            if slot.environment is None or not slot.environment.running:
                self._renew(slot)
                continue
            receipt = self._world.queue.receive()
            if receipt is None:
                time.sleep(_IDLE_S)
                continue
            slot.busy_since = started = time.monotonic()
            if (after_s := self.doom(receipt)) is not None:
                threading.Timer(after_s, slot.kill_if_at_work, [started]).start()
            try:
                self._invoke(slot.environment, receipt, started, doomed=after_s is not None)
            finally:
                slot.busy_since = None

    def _renew(self, slot: _Slot) -> None:
        slot.kill()
        slot.environment = None
        try:
            spec = replace(self._spec, environment={**self._spec.environment, _SLOT: slot.name})
            slot.environment = Environment(spec)
            slot.environment.wait_ready()
            slot.warm.set()
        except FunctionError as error:
            if not self._stopping.is_set():
                self.lines.append(f"no environment: {error}")
                time.sleep(0.2)

    def _invoke(self, environment: Environment, receipt: Receipt, started: float, *, doomed: bool) -> None:
        queue = self._world.queue
        try:
            answer = json.loads(environment.invoke(json.dumps(receipt.event).encode()))
        except FunctionRaised as error:
            self.lines.append(f"the handler raised: {error}")
            queue.change_visibility(receipt.id, 20)
            return
        except (FunctionError, OSError, ValueError):
            doomed = True
        if doomed:  # a doomed worker that was faster than its kill dies before it acknowledges
            self.outcomes["crashed"] += 1
            self._leases_end = time.monotonic() + self._lease_s
            with suppress(OSError, ValueError):
                environment.kill()
            # Redeliver the message of a dead worker after a short visibility timeout.
            queue.change_visibility(receipt.id, 10)
            return
        if failed_ids(answer, {receipt.id}):
            self.outcomes["failed"] += 1
            return
        for message in parse(receipt.body):
            if isinstance(message, Hint):
                with self._world.lock:
                    self._world.served.setdefault(message.key, []).append((started, time.monotonic()))
        queue.acknowledge(receipt.id)


def _resume(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.resume()


_PAUSE_S, _TOP_K = 0.05, 50
# A deleted or replaced document stops answering within this time, even if workers die.
HIDDEN_WITHIN_S = 60.0
_EVERYBODY = Principal("key:reader", collections=None)


class _Index:
    """The query's parts for one pipeline."""

    def __init__(self, world: World, place: PipelinePlace) -> None:
        self.catalogue = DynamoLedger(world.dynamodb, TABLE, place.fingerprint)
        server = ChromaServer(world.stack.chroma, timeout_s=5)
        self._retrieval = Retrieval(self.catalogue, ChromaIndex(server, Layout(place.fingerprint, SHARDS)))
        self._embedder = OnnxEmbedder(place.model_dir, threads=1)

    def search(self, scope: Scope, text: str) -> Sequence[Passage]:
        vector = self._embedder.embed_queries([text])[0].tolist()
        return self._retrieval.search(scope, vector, _TOP_K).passages

    def deleted_at(self, key: str) -> float | None:
        """Return when the ledger settled the key's deletion; None if it has not."""
        record = self.catalogue.get(key)
        return record.updated_at if record is not None and record.status is Status.DELETED else None


class Reader:
    """Asks in a thread from `__enter__` to `__exit__`.

    `wrong` has a line for every answer that mixes generations, shows a document whose deletion is settled, or has
    a text that is not on its page; `unavailable` counts the typed errors. A version that the bucket no longer has
    is wrong once a worker has handled its change, and after 60 s at the latest: `__exit__` adds these.
    """

    def __init__(self, world: World, seed: str) -> None:
        """Open the index of each pipeline."""
        self.wrong: list[str] = []
        self.asked = 0
        self.unavailable = 0
        self._outdated: list[tuple[str, float, float]] = []  # key, time of the question, time of the change
        self._world = world
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._state = DynamoState(world.dynamodb, TABLE)
        self._indexes = {place.fingerprint: _Index(world, place) for place in world.pipelines}
        self._texts: dict[tuple[str, str], list[str]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)
        for key, asked_at, changed_at in self._outdated:
            age, served = f"{key!r} was shown {asked_at - changed_at:.1f} s after its change", self._world.served
            if any(changed_at < start and end < asked_at for start, end in served.get(key, ())):
                self.wrong.append(f"{age}, whose event was served")
            elif asked_at - changed_at > HIDDEN_WITHIN_S:
                self.wrong.append(age)

    def shown(self, key: str) -> set[str]:
        """Return the versions of a document that an answer shows now."""
        passages = self._active().search(
            Scope(_EVERYBODY, {key.partition("/")[0]: (key,)}), question(self._random)
        )
        return {passage.version for passage in passages}

    def _active(self) -> _Index:
        chosen = self._state.read(ACTIVE_PIPELINE).get("fingerprint")
        return self._indexes.get(chosen or "", next(iter(self._indexes.values())))

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            try:
                self._ask()
            except Unavailable:
                self.unavailable += 1
                time.sleep(_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - any other error is a defect
                self.wrong.append(f"{type(error).__name__}: {error}")

    def _ask(self) -> None:
        with self._world.lock:
            changes, changed_at = dict(self._world.changes), dict(self._world.changed_at)
            absent = sorted(set(changes) - set(self._world.current))
        if not changes:
            return
        index = self._active()
        scope = self._about(list(changes))
        watched = self._random.sample(absent, min(20, len(absent)))
        settled = {key: index.deleted_at(key) for key in watched}
        asked_at = time.monotonic()
        passages = index.search(scope, question(self._random))
        self.asked += 1
        generations = Counter(document for document, _ in {(hit.document, hit.generation) for hit in passages})
        for document, count in generations.items():
            if count > 1:
                self.wrong.append(f"one answer has {count} generations of {document!r}")
        for passage in passages:
            key = passage.document
            self._check_text(passage)
            with self._world.lock:
                unchanged = key in changes and self._world.changes.get(key) == changes[key]
                upload = self._world.uploads.get((key, passage.version))
                outdated = unchanged and upload != self._world.current.get(key)
            if outdated:
                self._outdated.append((key, asked_at, changed_at[key]))
            since = settled.get(key)
            if unchanged and since is not None and index.deleted_at(key) == since:
                self.wrong.append(f"{key!r} is deleted, and its chunk {passage.id} was shown")

    def _about(self, keys: list[str]) -> Scope:
        """Choose randomly: one document, even a deleted one, one collection, or all."""
        key = self._random.choice(keys)
        collection = key.partition("/")[0]
        return Scope(_EVERYBODY, self._random.choice([{collection: (key,)}, {collection: None}, None]))

    def _check_text(self, passage: Passage) -> None:
        name = (passage.document, passage.version)
        with self._world.lock:  # a worker can index an upload before the world has recorded it
            upload = self._world.uploads.get(name)
        if upload is None:
            return
        if name not in self._texts:
            self._texts[name] = text_of(upload.key, upload.revision, upload.pages)
        if " ".join(passage.chunk.text.split()) not in self._texts[name][passage.chunk.page - 1]:
            self.wrong.append(f"{passage.id} of {passage.document!r} is not on page {passage.chunk.page}")


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


# Two workers for two cores, and a third that takes over from a worker that hangs.
WORKERS = 3
# Small, so that documents of some pages have several ranges.
RANGE_PAGES = 6
# Longer than the slowest step of a short document on a loaded machine. A worker that stops for longer loses its
# lease.
LEASE_S = 4.0
_CHROMA_FAULTS = (
    Fault.RESET_REQUEST,
    Fault.RESET_ANSWER,
    Fault.UNAVAILABLE,
    Fault.ERROR_AFTER,
    Fault.HANG,
    Fault.LATE,
)
# Server, fault, and the share of its requests that fail.
_AWS_FAULTS = (
    ("dynamodb", Fault.THROTTLED, 0.5),
    ("dynamodb", Fault.ERROR_AFTER, 0.2),
    ("s3", Fault.GONE, 0.4),
    ("s3", Fault.FORBIDDEN, 0.3),
    ("s3", Fault.UNAVAILABLE, 0.6),
    ("s3", Fault.SLOW, 0.6),  # documents change while they are read
)
# The most seconds that a poison PDF may cost, and that it may delay a healthy one.
_BUDGET_S, _LONGEST_S = 30.0, 300.0
# The keys of rows that choose their documents themselves.
_KEYS = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: its function and repeats (in the long form for each kind of bucket, and in the short form).

    `evidence` counts in `unit` how often the fault happened. `users` change so many keys meanwhile.
    """

    title: str
    cause: Callable[[Scene, int], None]
    long: int
    short: int
    unit: str
    evidence: Callable[[Scene], float]
    users: int = 0


def shared_world(outcomes: Mapping[str, Outcome], run: Run, *, versioned: bool) -> Iterator[str]:
    """Cause the faults of some rows one after another in one world; add to their outcomes, and yield each name.

    The reader's outdated answers count for the last row, because they are judged at the end.
    """
    world = World(f"{run.seed} {versioned}", versioned=versioned, range_pages=RANGE_PAGES)
    # The stalls of the proxy are longer than the timeout for Chroma.
    with scene(run, world, WORKERS, DOCWELL_CHROMA_TIMEOUT_S="1", DOCWELL_LEASE_S=f"{LEASE_S}") as stage:
        stage.fill(_KEYS)
        for name, outcome in outcomes.items():
            row, stage.outcome = FAULTS[name], outcome
            before, questions, repeats = row.evidence(stage), stage.reader.asked, run.times(row.long, row.short)
            with stage.users(row.users) if row.users else nullcontext():
                for number in range(4 * repeats):
                    if number >= repeats and row.evidence(stage) > before:
                        break
                    run.say(f"{number + 1} of {repeats} ({'versions' if versioned else 'no versions'})")
                    row.cause(stage, number)
            stage.proxies["chroma"].wait_idle()
            stage.settle_and_compare()
            stage.outcome.must_happen(row.unit, row.evidence(stage) - before, "")
            stage.outcome.questions += stage.reader.asked - questions
            yield name
    stage.outcome.wrong += stage.reader.wrong


def kill_ingest(stage: Scene, _: int) -> None:
    """SIGKILL for a worker at a random instant of its work."""
    after_s = stage.random.uniform(0, 0.5)
    until(lambda: stage.workers.kill_at_work(after_s), 60)


def kill_chroma(stage: Scene, _: int) -> None:
    """SIGKILL for Chroma under load; it restarts on the same data."""
    stage.pause(0.5, 2.5)
    stage.world.chroma.kill()
    stage.pause(0.1, 0.6)
    stage.world.chroma.start()


def chroma_network(stage: Scene, number: int) -> None:
    """Break Chroma's network in one way, in the last repeat in all ways; then stop Chroma for a moment."""
    fault_sets = [*((fault,) for fault in _CHROMA_FAULTS), _CHROMA_FAULTS]
    stage.proxies["chroma"].probability = 0.3
    stage.proxies["chroma"].behave(*fault_sets[number % len(fault_sets)])
    time.sleep(stage.run.times(7, 1))
    stage.proxies["chroma"].behave(Fault.DOWN)
    time.sleep(stage.run.times(2, 1) / 2)
    stage.proxies["chroma"].behave()


def aws(stage: Scene, number: int) -> None:
    """DynamoDB throttles or loses answers; S3 fails, or objects change while they are read."""
    server, fault, share = _AWS_FAULTS[number % len(_AWS_FAULTS)]
    proxy = stage.proxies[server]
    proxy.probability = share
    proxy.behave(fault)
    time.sleep(stage.run.times(15, 2))
    proxy.behave()


def same_key(stage: Scene, _: int) -> None:
    """All workers get messages of one key; one dies, or hangs for longer than its lease and then continues."""
    for _ in range(stage.random.randint(1, 4)):
        stage.change(1)
    for _ in range(WORKERS):
        stage.world.hint(key_of(0), sweep=stage.random.random() < 0.2, rebuild=stage.random.random() < 0.2)
    stage.pause(0, 1.0)
    dies = stage.random.random() < 0.5
    if stage.workers.kill_at_work(0) if dies else stage.workers.pause_at_work(LEASE_S * 1.3):
        for _ in range(WORKERS):  # the others come while it hangs, and after its lease
            time.sleep(LEASE_S / WORKERS * 1.3)
            stage.change(1)
            stage.world.hint(key_of(0))
    until(lambda: stage.world.queue.size() <= MOST_WAITING, 10)


def dead_letters(stage: Scene, _: int) -> None:
    """Delete and replace documents whose workers die at every receive, some while they give the message up."""
    stage.fill(_KEYS)
    world = stage.world
    keys = set(stage.random.sample(sorted(map(key_of, range(_KEYS))), 2))

    def doom(receipt: Receipt) -> float | None:
        doomed = not receipt.dead or stage.random.random() < 0.5
        hit = doomed and any(message.key in keys for message in parse(receipt.body))
        return stage.random.uniform(0, 0.5) if hit else None

    stage.workers.doom = doom
    for key in keys:
        deletes = key in world.current and stage.random.random() < 0.6
        world.delete(key) if deletes else world.put(key)
    changed_at = max(world.changed_at[key] for key in keys)
    until(lambda: not world.queue.size(), HIDDEN_WITHIN_S - (time.monotonic() - changed_at))
    title = "slowest change: from its event until its message was parked"
    _add_slowest(stage, title, time.monotonic() - changed_at, HIDDEN_WITHIN_S)
    stage.outcome.stuck(world.queue.size())
    # Check before any redrive: only the dead-letter queue's consumer can have hidden a version.
    for key in keys:
        for version in stage.reader.shown(key):
            if world.uploads[key, version] != world.current.get(key):
                stage.outcome.wrong.append(f"{key!r} is shown from an old version, and its message is parked")
    stage.workers.doom = lambda _: None
    stage.settle()


def long_document(stage: Scene, _: int) -> None:
    """A document of several ranges is replaced, deleted or rebuilt half-way; perhaps a worker is killed."""
    world, key = stage.world, key_of(stage.random.randrange(3))
    upload = world.put(key, pages=stage.random.randint(2 * RANGE_PAGES - 1, 4 * RANGE_PAGES))
    until(partial(_ranges_done, world, key, stage.random.randint(0, 3)), 8)
    stage.pause(0, 0.3)
    for _ in range(stage.random.randint(1, 2)):
        match stage.random.randrange(4):
            case 0:
                world.put(key, pages=stage.random.randint(1, 2 * RANGE_PAGES))
            case 1:
                world.delete(key)
            case 2:
                world.delete(key)
                stage.pause(0, 0.4)
                world.put_again(upload)
            case _:
                world.hint(key, rebuild=True)
        stage.pause(0, 0.6)
    if stage.random.random() < 0.5:
        stage.workers.kill_at_work(stage.random.uniform(0, 0.4))
    until(lambda: world.queue.size() <= MOST_WAITING, 20, pause_s=0.1)


def _record(world: World, key: str) -> DocumentRecord:
    ledger = DynamoLedger(world.dynamodb, TABLE, world.pipelines[0].fingerprint)
    return ledger.get(key) or DocumentRecord(key)


def _ranges_done(world: World, key: str, count: int) -> bool:
    """Return whether the document's plan exists and at least this many of its ranges are done."""
    record = _record(world, key)
    return record.ranges is not None and len(record.ranges_done) >= count


def poison(stage: Scene, number: int) -> None:
    """Three kinds of poison PDF for three workers, and then a healthy document, which must not wait for them."""
    world, kinds = stage.world, poison_kinds()
    if stage.run.short:  # the amplifiers of text take minutes
        kinds = {name: make for name, make in kinds.items() if name not in AMPLIFIERS}
    order = random.Random(stage.run.seed).sample(sorted(kinds), len(kinds))
    names = order[number * WORKERS % len(order) :][:WORKERS]
    bodies = {f"bad/{name}.pdf": kinds[name]() for name in names}
    for key, body in bodies.items():
        world.put_bytes(key, body)
    world.put(healthy := f"good/{number}.pdf", pages=1)
    until(lambda: {healthy, *bodies} <= world.served.keys(), _LONGEST_S)
    stage.settle()
    times = {key: world.served.get(key, [(0.0, math.inf)]) for key in (healthy, *bodies)}
    cost = max(end - start for key in bodies for start, end in times[key])
    _add_slowest(stage, "costliest poison PDF", cost, _BUDGET_S)
    delay = min(end for _, end in times[healthy]) - world.changed_at[healthy]
    _add_slowest(stage, "a healthy one's longest delay beside them", delay, _BUDGET_S)
    for key in bodies:
        status = _record(world, key).status
        if status not in {"INDEXED", "EMPTY", "REJECTED"}:
            stage.outcome.wrong.append(f"{key} is {status}")
        stage.workers.outcomes["poison"] += 1
        world.delete(key)


def _add_slowest(stage: Scene, title: str, seconds: float, limit_s: float) -> None:
    slowest = max(seconds, stage.outcome.goals.get(title, (0.0,))[0])
    stage.outcome.goals[title] = (slowest, "s", f"<= {limit_s:g}")


def volume_lost(stage: Scene, _: int) -> None:
    """Chroma loses its volume while documents come in; then two passes of reconcile."""
    stage.fill(stage.run.times(60, 15))
    for number in range(5):
        stage.world.put(key_of(number))
    stage.world.delete(key_of(5))
    time.sleep(0.3)
    stage.world.lose_volume()
    time.sleep(1)
    stage.world.chroma.start()
    stage.settle()
    for number in (1, 2):
        stage.run.say(f"reconcile, pass {number}")
        time.sleep(1)
        passes = stage.reconcile(300, "complete", action="reconcile", force=True)
        hints = sum(int(pipeline["sent"]) for answer in passes for pipeline in answer["pipelines"])
        stage.outcome.facts[f"hints of pass {number}"] = hints
        stage.workers.outcomes["hints"] += hints
        stage.settle()


def _count(name: str) -> Callable[[Scene], float]:
    return lambda stage: stage.workers.outcomes[name]


def _met(*servers: str) -> Callable[[Scene], float]:
    return lambda stage: sum(
        stage.proxies[server].drawn.total() - stage.proxies[server].drawn[Fault.NONE] for server in servers
    )


# Title, cause, repeats in the long form (for each kind of bucket) and in the short form, and the evidence.
FAULTS = {
    "kill-ingest": Row("kill -9 of ingest", kill_ingest, 100, 10, "kills", _count("crashed"), users=40),
    "kill-chroma": Row(
        "kill -9 of Chroma", kill_chroma, 25, 3, "typed errors", lambda stage: stage.reader.unavailable, 40
    ),
    "chroma-network": Row(
        "Chroma behind a broken network", chroma_network, 16, 8, "requests with a fault", _met("chroma"), 30
    ),
    "aws": Row("DynamoDB and S3 fail", aws, 6, 6, "requests with a fault", _met("dynamodb", "s3"), users=12),
    "same-key": Row("all workers on one key", same_key, 60, 5, "pauses", _count("paused")),
    "dead-letters": Row(
        "killed to a dead letter", dead_letters, 12, 1, "letters", lambda stage: stage.world.queue.dead_letters
    ),
    "long-document": Row("long documents", long_document, 40, 3, "kills", _count("crashed")),
    # Three kinds each time: all kinds in the long form.
    "poison": Row("poison among healthy PDFs", poison, 14, 2, "poison PDFs", _count("poison")),
    "volume-lost": Row("loss of Chroma's volume, then reconcile", volume_lost, 1, 1, "hints", _count("hints")),
}


def reindex(run: Run, outcome: Outcome) -> None:
    """A new pipeline under a stream of uploads, deletes and queries, with kills in the middle; then the switch."""
    keys = run.times(60, 12)
    world = World(run.seed, chunk_tokens=(CHUNK_TOKENS, NEXT_CHUNK_TOKENS), range_pages=3)
    switch = {"action": "reindex", "step": "switch"}
    with scene(run, world, 2) as stage:
        stage.outcome = outcome
        stage.fill(keys)
        with stage.users(keys, pause_s=1.0):
            run.say("the new index is started")
            stage.reconcile(120, "all_hinted", action="reindex", step="start")
            for number in range(run.times(10, 3)):
                kill_ingest(stage, number)
                stage.pause(0, 0.8)
            answers = stage.reconcile(run.times(180, 25), "switched", **switch)
        outcome.facts["switched under the stream"] = bool(answers and answers[-1]["switched"])
        if not outcome.facts["switched under the stream"]:
            answers = stage.reconcile(300, "switched", **switch)
        if not (answers and answers[-1]["switched"]):
            outcome.add_raised("stuck: the re-index did not complete in time")
        for _ in range(5):
            stage.change(keys)
        stage.settle()
        run.say("the old index is removed")
        stage.reconcile(30, "switched", **switch)
        stage.settle_and_compare(world.pipelines[1:])
        outcome.must_happen("kills", stage.workers.outcomes["crashed"], "workers")
    outcome.questions += stage.reader.asked
    outcome.wrong += stage.reader.wrong


REINDEX = "reindex"
TITLES = {name: row.title for name, row in FAULTS.items()} | {REINDEX: "re-index with a kill in the middle"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="3 minutes instead of 55")
    parser.add_argument("--seed", type=int, help="the seed that a failed run printed; random by default")
    parser.add_argument("--row", action="append", choices=TITLES, help="only this row; may be repeated")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    CONSOLE.print(f"seed {seed}")
    report, chosen = Report("faults"), options.row or list(TITLES)
    questions, wrong, failed = 0, 0, list[str]()
    for name, outcome in _outcomes(chosen, seed, short=options.short):
        questions, wrong = questions + outcome.questions, wrong + len(outcome.wrong)
        _add(report, TITLES[name], outcome)
        if not outcome.ok:
            failed.append(name)
            _explain(name, seed, outcome)
    report.add("reader: answers that mix generations, show a deleted document or a false text", wrong, "", "== 0")
    report.add("reader: questions asked while faults ran", questions, "questions", ">= 1")
    status = report.finish()
    if failed:
        rows = " ".join(f"--row {name}" for name in failed)
        form = " --short" if options.short else ""
        print(f"replay: python -m benchmarks.faults{form} {rows} --seed {seed}")
    return status


def _outcomes(chosen: Sequence[str], seed: int, *, short: bool) -> Iterator[tuple[str, Outcome]]:
    """Run the rows and yield the outcome of each. If a row raises, mark it as stuck and go on."""
    shared = {name: Outcome() for name in chosen if name in FAULTS}
    with bar("faults", len(chosen)) as shown:
        run, started = Run(f"{seed}", short, shown.say), time.monotonic()
        for versioned in run.buckets() if shared else ():
            try:
                for name in shared_world(shared, run, versioned=versioned):
                    _print(name, shared[name], started)
                    started = time.monotonic()
            except Exception:  # noqa: BLE001 - run the other rows all the same
                shared[list(shared)[-1]].add_raised(traceback.format_exc())
        yield from shared.items()
        if REINDEX in chosen:
            outcome, started = Outcome(), time.monotonic()
            try:
                reindex(Run(f"{seed} {REINDEX}", short, shown.say), outcome)
            except Exception:  # noqa: BLE001 - report the other rows all the same
                outcome.add_raised(traceback.format_exc())
            _print(REINDEX, outcome, started)
            yield REINDEX, outcome


def _print(name: str, outcome: Outcome, started: float) -> None:
    verdict = "[green]ok[/]" if outcome.ok else "[red]wrong[/]"
    facts = ", ".join(f"{value:g} {fact}" for fact, value in outcome.facts.items())
    figures = f"{outcome.compared:,} chunks compared, {outcome.questions:,} questions, {facts}"
    CONSOLE.print(f"{verdict} {name}: {time.monotonic() - started:.0f} s, {figures}", soft_wrap=True)


def _add(report: Report, title: str, outcome: Outcome) -> None:
    for kind, count in outcome.differences.items():
        report.add(f"{title}: {kind}", count, "documents" if kind == "stuck" else "chunks", "== 0")
    report.add(f"{title}: chunks compared", outcome.compared, "chunks", ">= 1")
    for name, (value, unit, goal) in outcome.goals.items():
        report.add(f"{title}: {name}", value, unit, goal)


def _explain(name: str, seed: int, outcome: Outcome) -> None:
    for line in outcome.examples[:30] + outcome.wrong[:10]:
        CONSOLE.print(f"  {line}", markup=False, soft_wrap=True)
    path = ROOT / "build" / "faults" / f"{name}-{seed}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(outcome.logs) + "\n", encoding="utf-8")
    CONSOLE.print(f"  log: {path}")


if __name__ == "__main__":
    run_command(main)
