"""The model host asleep: seconds to the first cited sentence, and to the model's answer after it woke."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from infra.local.demo import EXAMPLES, ask, example_questions, upload, wait_indexed
from infra.local.stack import DEADLINE_S
from infra.local.supervisor import running_stack
from infra.report import Report


def rehearse(report: Report, folder: Path) -> None:
    """Ask while the host sleeps, wait for it, and let it sleep again."""
    console = Console(stderr=True, highlight=False)
    with running_stack(folder) as stack, stack.http(DEADLINE_S + 20) as client:
        since = time.time()
        wait_indexed(client, upload(stack, EXAMPLES, console), since, console)
        begun = time.monotonic()
        answer = ask(client, example_questions()[0]["question"])
        report.add("sleep: first answer", time.monotonic() - begun, "s")
        report.add("sleep: citations of the first answer", len(answer["citations"]), "", ">= 1")
