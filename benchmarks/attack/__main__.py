"""``python -m benchmarks.attack`` (`make attack`): attack a running stack from outside, by HTTP, S3 and the CLI.

Each row counts the attempts that succeeded. The model host is scripted, so that an answer contains what an
attacker wants it to say. `requests.toml` has the forged requests.
"""

import argparse
import traceback

from benchmarks.attack.attacks import ATTACKS
from benchmarks.attack.target import target
from benchmarks.doors import run_command
from infra.progress import CONSOLE, bar
from infra.report import Report

_SHOWN = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer repeats")
    parser.add_argument("--row", action="append", choices=ATTACKS, help="only this row; may be repeated")
    options = parser.parse_args()
    report, chosen = Report("attack"), options.row or list(ATTACKS)
    CONSOLE.print("starting the stack…")
    with target(short=options.short) as attacked, bar("attacks", len(chosen)) as step:
        for name in chosen:
            step.say(name)
            (title, attack), tried, breaches = ATTACKS[name], 0, list[str]()
            try:
                for attempt, breach in attack(attacked):
                    tried += 1
                    breaches += [attempt] if breach else []
            except Exception:  # noqa: BLE001 - run the other attacks all the same
                breaches += traceback.format_exc().splitlines()[-6:]
            CONSOLE.print(f"{'[red]BREACH[/]' if breaches else 'ok    '} {name}: {len(breaches)} of {tried}")
            for line in breaches[:_SHOWN]:
                CONSOLE.print(f"    {line}", markup=False, soft_wrap=True)
            report.add(title, len(breaches), f"of {tried} got through", "== 0")
            report.add(f"{title}: attempts", tried, "", ">= 1")
            step()
    return report.finish()


if __name__ == "__main__":
    run_command(main)
