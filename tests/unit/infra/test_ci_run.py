"""`.ci/run`: each step has a limit of time, its name is known when it ends, and a signal ends it."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest

from infra.container.sam import ROOT

SCRIPT = (ROOT / ".ci" / "run").read_text()


def seconds(steps: str) -> list[str]:
    """Return the command of steps whose limits are in seconds."""
    before, _, _ = SCRIPT.partition("# The first step")
    for minutes, seconds in {'"${limit}m"': '"${limit}s"', "limit * 60": "limit"}.items():
        assert minutes in before
        before = before.replace(minutes, seconds)
    before = before.replace('cd "$(dirname "$0")/.."', "")
    # A test run in the background may ignore SIGINT, and bash cannot trap a signal that it was started to ignore.
    return ["env", "--default-signal", "bash", "-c", before + steps]


def run(steps: str) -> subprocess.CompletedProcess[str]:
    """Run steps. Raises `TimeoutExpired` where a process of theirs keeps its output open."""
    return subprocess.run(seconds(steps), check=False, capture_output=True, text=True, timeout=60)


def test_every_check_is_a_step_with_a_limit() -> None:
    checks = [line.strip() for line in SCRIPT.splitlines() if re.search(r"^[^#]*\bmake [a-z]", line)]
    assert len(checks) >= 10
    assert [line for line in checks if not re.match(r'step [1-9]\d* "[^"]+" make ', line)] == []


def test_a_step_that_fails_ends_ci_and_is_named() -> None:
    done = run('step 50 "first" true; step 50 "second" bash -c "exit 3"; step 50 "third" true')
    assert done.returncode == 3
    assert "CI: second: failed" in done.stderr
    assert "third" not in done.stdout


def test_a_step_that_hangs_ends_with_its_processes_and_is_named() -> None:
    done = run("""step 1 "hangs" bash -c 'sleep 100 & wait'; echo never""")
    assert done.returncode == 124
    assert "CI: hangs: ended at its limit of 1 minutes" in done.stderr
    assert "never" not in done.stdout


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_step_with_its_processes(sent: signal.Signals) -> None:
    code = "import time; print('runs', flush=True); time.sleep(100)"
    command = seconds(f"""step 50 "long" sh -c '"$0" -c "$1"; true' python3 "{code}"; echo never""")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ci:
        assert ci.stdout
        while "runs" not in ci.stdout.readline():
            pass
        ci.send_signal(sent)
        lines, _ = ci.communicate(timeout=60)  # it returns when no process of the step is left
    assert ci.returncode == 130
    assert "never" not in lines
