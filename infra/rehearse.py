"""``python -m infra.rehearse``: ask while the model host sleeps, and write build/reports/rehearse.json.

The figures are the seconds to the first cited sentence, and to the model's answer after the host woke.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console

from docwell.answers import AnswerStatus, HostState
from docwell.errors import ModelWaking
from docwell.http import sse
from infra.local.demo import EXAMPLES, DemoFailed, ask, example_questions, upload, wait_indexed
from infra.local.stack import DEADLINE_S, WAKE_S
from infra.local.supervisor import StackFailed, running_stack
from infra.report import Report

# The status requests of the rehearsal come meanwhile, and must not count as use.
_IDLE_MINUTES = 0.5


def rehearse(report: Report, folder: Path) -> None:
    """Ask while the host sleeps, wait for it, and let it sleep again."""
    console = Console(stderr=True, highlight=False)
    question = example_questions()[0]["question"]
    with (
        running_stack(folder, sleep_minutes=_IDLE_MINUTES) as stack,
        stack.http(DEADLINE_S + WAKE_S) as client,
    ):
        since = time.time()
        wait_indexed(client, upload(stack, EXAMPLES, console), since, console)
        _is(report, client, HostState.ASLEEP, "before a question")
        _at_once(report, client, question)
        _is(report, client, HostState.WAKING, "after the question")
        _in_a_stream(report, client, question)
        _is(report, client, HostState.AWAKE, "after the model's answer")
        _until_asleep(report, client)


def _state(client: httpx.Client) -> str:
    return str(client.get("/v1/status").raise_for_status().json()["model_host"])


def _is(report: Report, client: httpx.Client, state: HostState, when: str) -> None:
    report.add(f"sleep: the status {when} is {state.value}", int(_state(client) == state), "", "== 1")


def _at_once(report: Report, client: httpx.Client, question: str) -> None:
    begun = time.monotonic()
    answer = ask(client, question)
    report.add("sleep: to the first cited sentence, asleep", time.monotonic() - begun, "s", "<= 5")
    status, reason = answer["status"], answer["fallback_reason"]
    right = (status, reason) == (AnswerStatus.EXTRACTIVE, ModelWaking.problem) and answer["citations"]
    report.add("sleep: it is extractive, cited, and says that a host wakes", int(bool(right)), "", "== 1")


def _in_a_stream(report: Report, client: httpx.Client, question: str) -> None:
    begun = time.monotonic()
    progress, first_token_s, answer = 0, 0.0, None
    with client.stream("POST", "/v1/query", json={"question": question, "stream": True}) as response:
        response.raise_for_status()
        for name, data in sse.read(response.iter_lines()):
            progress += name == "waking"
            if name == "token":
                first_token_s = first_token_s or time.monotonic() - begun
            if name == "answer":
                answer = data
    if answer is None:
        raise DemoFailed("the stream has no answer")
    report.add("sleep: waking events of a stream", progress, "events", ">= 1")
    report.add("sleep: the host's start, as the stream waited", answer["timings_ms"]["waking"] / 1000, "s")
    if first_token_s:
        report.add("sleep: to the model's first word, from the question", first_token_s, "s")
    report.add("sleep: to the first answer of the model, from the question", time.monotonic() - begun, "s")
    by_model = answer["fallback_reason"] is None and answer["usage"]["completion_tokens"] > 0
    report.add("sleep: the stream's answer is the model's", int(by_model), "", "== 1")


def _until_asleep(report: Report, client: httpx.Client) -> None:
    begun = time.monotonic()
    while (waited := time.monotonic() - begun) < 3 * 60 * _IDLE_MINUTES:
        if _state(client) != HostState.AWAKE:
            break
        time.sleep(1.0)
    report.add("sleep: until the unused host slept again, while its status was read", waited, "s", "<= 60")
    _is(report, client, HostState.ASLEEP, "after idle minutes")


def main() -> int:
    """Run the rehearsal on a new local stack. Return 0 when every goal holds."""
    report = Report("rehearse")
    with tempfile.TemporaryDirectory(prefix="docwell-rehearse-") as folder:
        try:
            rehearse(report, Path(folder))
        except (DemoFailed, StackFailed, httpx.HTTPError) as failure:
            report.notes.append(str(failure))
            report.add("sleep: the rehearsal finished", 0, "", "== 1")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
