"""``python -m benchmarks.faults`` (`make faults`): the real handlers, Chroma and the AWS server under every fault.

It runs the rows, prints one table and writes build/reports/faults.json; docs/faults.md describes them.
"""

import argparse
import math
import random
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.doors import run_command, until
from benchmarks.faults.scene import HIDDEN_WITHIN_S, MOST_WAITING, Outcome, Run, Scene, key_of, scene
from benchmarks.faults.world import CHUNK_TOKENS, NEXT_CHUNK_TOKENS, TABLE, Receipt, World
from benchmarks.poison.kinds import AMPLIFIERS, poison_kinds
from benchmarks.proxy import Fault
from docwell.ingest.events import parse
from infra.progress import CONSOLE, bar
from infra.report import ROOT, Report

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
    Fault.TRICKLE,
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
            stage.workers.doom = lambda _: None
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
        _delete_or_replace(stage, key)
    changed_at = max(world.changed_at[key] for key in keys)
    until(lambda: not world.queue.size(), HIDDEN_WITHIN_S - (time.monotonic() - changed_at))
    seconds = time.monotonic() - changed_at
    stage.outcome.stuck(world.queue.size())
    # Check before any redrive: only the dead-letter queue's consumer can have hidden a version.
    for key in keys:
        for version in stage.reader.shown(key):
            if world.uploads[key, version] != world.current.get(key):
                stage.outcome.wrong.append(f"{key!r} is shown from an old version, and its message is parked")
    _add_slowest(stage, "slowest change: from its event until its message was parked", seconds, HIDDEN_WITHIN_S)
    stage.workers.doom = lambda _: None
    stage.settle()


def _delete_or_replace(stage: Scene, key: str) -> None:
    if key in stage.world.current and stage.random.random() < 0.6:
        stage.world.delete(key)
    else:
        stage.world.put(key)


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


def _ledger_row(world: World, key: str) -> dict[str, Any]:
    place = {"document": {"S": key}, "pipeline": {"S": world.pipelines[0].fingerprint}}
    row: dict[str, Any] = world.dynamodb.get_item(TableName=TABLE, Key=place, ConsistentRead=True).get("Item", {})
    return row


def _ranges_done(world: World, key: str, count: int) -> bool:
    """Return whether the document's plan exists and at least this many of its ranges are done."""
    item = _ledger_row(world, key)
    return "ranges" in item and len(item.get("ranges_done", {}).get("NS", ())) >= count


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
        status = _ledger_row(world, key).get("status", {}).get("S")
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


def _met(stage: Scene) -> float:
    return sum(stage.proxies["chroma"].drawn[fault] for fault in _CHROMA_FAULTS)


def _met_aws(stage: Scene) -> float:
    return sum(stage.proxies[server].drawn[fault] for server, fault, _ in _AWS_FAULTS)


# Title, cause, repeats in the long form (for each kind of bucket) and in the short form, and the evidence.
FAULTS = {
    "kill-ingest": Row("kill -9 of ingest", kill_ingest, 100, 10, "kills", _count("crashed"), users=40),
    "kill-chroma": Row(
        "kill -9 of Chroma", kill_chroma, 25, 3, "typed errors", lambda stage: stage.reader.unavailable, 40
    ),
    "chroma-network": Row(
        "Chroma behind a broken network", chroma_network, 16, 8, "requests with a fault", _met, 30
    ),
    "aws": Row("DynamoDB and S3 fail", aws, 6, 6, "requests with a fault", _met_aws, users=12),
    "same-key": Row("all workers on one key", same_key, 60, 5, "pauses", _count("paused")),
    "dead-letters": Row(
        "killed until the dead letter",
        dead_letters,
        12,
        1,
        "dead letters",
        lambda stage: stage.world.queue.dead_letters,
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
