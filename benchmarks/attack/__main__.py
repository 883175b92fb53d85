"""``python -m benchmarks.attack`` (`make attack`): attack a running stack from outside, by HTTP, S3 and the CLI.

Each row counts the attempts that the stack let through. The model host is scripted, so that an answer holds what
an attacker wants it to say.
"""

import argparse
import signal
import sys
import traceback
from collections.abc import Callable

from benchmarks.attack import documents, machine, quotas, requests
from benchmarks.attack.target import Target, Tries, target
from infra.progress import CONSOLE, bar
from infra.report import Report

ATTACKS: dict[str, tuple[str, Callable[[Target], Tries]]] = {
    "cursors": ("forged cursors, prefixes and collections", requests.cursors),
    "names": ("names of other people's documents and receipts", requests.names),
    "identities": ("forged identities in headers", requests.identities),
    "answer-ids": ("repeated and unknown answer ids", requests.answer_ids),
    "malformed": ("malformed bodies", requests.malformed),
    "poison-tokens": ("words that cost the model many tokens", documents.poison_tokens),
    "hidden-text": ("text that no reader sees", documents.hidden_text),
    "links": ("links and markup in answers", documents.links),
    "controls": ("control characters in terminal, log and answer", documents.controls),
    "race": ("parallel questions at the end of a quota", quotas.race),
    "hang-up": ("clients that hang up", quotas.hang_up),
    "broken-answers": ("answers that the model host breaks off", quotas.broken_answers),
    "one-caller": ("one caller who takes every place", quotas.one_caller),
    "foreign-origin": ("requests of a page of another origin", machine.foreign_origin),
    "rebound-name": ("requests under a rebound name", machine.rebound_name),
    "aws-stand-in": ("the AWS stand-in without its credentials", machine.aws_stand_in),
    "other-user": ("another user of the machine", machine.other_user),
    "still-there": ("damage after all of these", machine.still_there),
}
_SHOWN = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer repeats")
    parser.add_argument("--row", action="append", choices=ATTACKS, help="only this row; may be repeated")
    options = parser.parse_args()
    # SIGTERM cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report("attack")
    chosen = options.row or list(ATTACKS)
    CONSOLE.print("starting the stack…")
    with target(short=options.short) as attacked, bar("attacks", len(chosen)) as step:
        for name in chosen:
            step.say(name)
            _attack(attacked, name, report)
            step()
    return report.finish()


def _attack(attacked: Target, name: str, report: Report) -> None:
    title, attack = ATTACKS[name]
    tried, breaches = 0, list[str]()
    try:
        for attempt in attack(attacked):
            tried += 1
            if attempt.breach:
                breaches.append(attempt.text)
    except Exception:  # noqa: BLE001 - run the other attacks all the same
        breaches += traceback.format_exc().splitlines()[-6:]
    mark = "[red]BREACH[/]" if breaches else "ok    "
    CONSOLE.print(f"{mark} {name}: {len(breaches)} of {tried}")
    for line in breaches[:_SHOWN]:
        CONSOLE.print(f"    {line}", markup=False, soft_wrap=True)
    report.add(title, len(breaches), f"of {tried} got through", "== 0")
    report.add(f"{title}: attempts", tried, "", ">= 1")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
