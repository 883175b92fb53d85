"""Rows about unusual documents: long ones, and poison."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import unquote_plus

from benchmarks.faults.delivery import DeliveryFaults, Receipt
from benchmarks.faults.row import BUCKETS, Outcome, Run, key_of, scene
from benchmarks.faults.workers import Workers
from benchmarks.faults.world import TABLE, World
from benchmarks.poison.kinds import poison_kinds

# The most that a refused document may cost.
BUDGET_S = 30.0
# Lambda would start more; these are enough to see whether one delays another.
_POISON_WORKERS = 4
_LONGEST_S = 900.0


def long_document(run: Run) -> Outcome:
    """Documents of several ranges, replaced, deleted and put again half-way while workers are killed."""
    outcome, kills = Outcome(), 0
    rounds = run.times(40, 5)
    buckets = run.variants(*BUCKETS)
    for versioned in buckets:
        world = World(f"{run.seed} {versioned}", versioned=versioned, range_pages=3)
        with scene(run, outcome, world, 3, timeout_s=300) as (workers, _):
            for number in run.rounds(rounds, 1 / len(buckets), lambda: workers.outcomes["crashed"]):
                run.say(f"round {number + 1} of {rounds} ({'versions' if versioned else 'no versions'})")
                _disturb(world, workers)
        kills += workers.outcomes["crashed"]
    outcome.must_happen("kills", kills, "workers")
    return outcome


def _disturb(world: World, workers: Workers) -> None:
    """Upload a long document, and change it while it is being indexed; perhaps kill a worker."""
    key = key_of(world.random.randrange(3))
    upload = world.put(key, pages=world.random.randint(7, 24))
    _wait_until_begun(world, key)
    for _ in range(world.random.randint(1, 2)):
        match world.random.randrange(4):
            case 0:
                world.put(key, pages=world.random.randint(1, 12))
            case 1:
                world.delete(key)
            case 2:
                world.delete(key)
                time.sleep(world.random.uniform(0, 0.4))
                world.put_again(upload)
            case _:
                world.hint(key, rebuild=True)
        time.sleep(world.random.uniform(0, 0.6))
    if world.random.random() < 0.5:
        workers.kill_at_work(world.random.uniform(0, 0.4))
    # Limit the number of unfinished documents.
    deadline = time.monotonic() + 20
    while world.queue.size() > 15 and time.monotonic() < deadline:
        time.sleep(0.1)


def _wait_until_begun(world: World, key: str) -> None:
    """Wait, but not for long, until the plan is made and up to three ranges of the document are done."""
    wanted = world.random.randint(0, 3)
    fingerprint = world.pipelines[0].fingerprint
    where = {"document": {"S": key}, "pipeline": {"S": fingerprint}}
    version = str(world.s3.head_object(Bucket=world.bucket, Key=key).get("VersionId", ""))
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        item = world.dynamodb.get_item(TableName=TABLE, Key=where, ConsistentRead=True).get("Item", {})
        mine = item.get("version", {}).get("S", "") == version or not world.versioned
        if mine and "ranges" in item and len(item.get("ranges_done", {}).get("NS", ())) >= wanted:
            break
        time.sleep(0.02)
    time.sleep(world.random.uniform(0, 0.3))


def poison(run: Run) -> Outcome:
    """Every kind of poison PDF among 100 healthy ones, after the same healthy ones alone."""
    kinds = poison_kinds()
    outcome = Outcome()
    world = World(run.seed, faults=replace(DeliveryFaults(), late=0))
    names = world.random.sample(sorted(kinds), 5) if run.short else sorted(kinds)
    healthy = [key_of(number) for number in range(run.times(100, 10))]
    bad = {f"bad/{name}.pdf": kinds[name] for name in names}
    done = _Done()
    with scene(run, outcome, world, _POISON_WORKERS, on_done=done, timeout_s=120, believe_refusals=True) as (
        workers,
        _,
    ):
        world.put("warm.pdf", pages=1)
        workers.settle(60)
        alone = _upload(run, world, done, {f"alone/{key}": None for key in healthy})
        mixed = [*healthy, *bad]
        world.random.shuffle(mixed)
        among = _upload(run, world, done, {key: bad.get(key) for key in mixed})
    outcome.facts["poison kinds"] = len(bad)
    outcome.facts |= {f"are {name}": count for name, count in outcome.statuses.items()}
    costliest, seconds = max(((key, done.slowest[key]) for key in bad), key=lambda pair: pair[1])
    outcome.goals[f"costliest ({costliest.removeprefix('bad/')})"] = (seconds, "s", f"<= {BUDGET_S:g}")
    # By rank: the n-th healthy document to be done among poison against the n-th alone.
    ranked = sorted(after for key, after in among.items() if key not in bad)
    delays = [late - early for early, late in zip(sorted(alone.values()), ranked, strict=False)]
    outcome.goals["longest delay of a healthy one"] = (max(delays, default=0.0), "s", f"<= {BUDGET_S:g}")
    unfinished = sum(key not in among for key in healthy)
    outcome.goals["healthy ones not done"] = (unfinished, "documents", "== 0")
    return outcome


class _Done:
    """When each key was done first, and the longest handling of it. Seconds."""

    def __init__(self) -> None:
        self.first: dict[str, float] = {}
        self.slowest: dict[str, float] = {}

    def __call__(self, receipt: Receipt, seconds: float) -> None:
        key = unquote_plus(receipt.body.partition('"key": "')[2].partition('"')[0])
        self.first.setdefault(key, time.monotonic())
        self.slowest[key] = max(self.slowest.get(key, 0.0), seconds)


def _upload(
    run: Run, world: World, done: _Done, contents: Mapping[str, Callable[[], bytes] | None]
) -> dict[str, float]:
    """Upload all, poison where there is a maker. Return the seconds from the last upload until each was done."""
    made = {key: make() for key, make in contents.items() if make is not None}
    for key in contents:
        if key in made:
            world.put_bytes(key, made[key])
        else:
            world.put(key, pages=1)
    started = time.monotonic()
    while not contents.keys() <= done.first.keys() and time.monotonic() < started + _LONGEST_S:
        waiting = contents.keys() - done.first.keys()
        run.say(f"{len(waiting)} documents left; slowest so far {max(done.slowest.values(), default=0):.1f} s")
        time.sleep(0.2)
    run.advance(0.8 if made else 0.2)
    return {key: done.first[key] - started for key in contents if key in done.first}
