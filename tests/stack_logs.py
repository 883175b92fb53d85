"""The check of a stack's logs after a test: a part that fails in a thread still answers."""

from __future__ import annotations

from pathlib import Path


def assert_no_traceback(logs: Path) -> None:
    """Fail with the lines around each traceback or panic in the logs."""
    failed = []
    for path in sorted(logs.glob("*.log*")):
        lines = path.read_text(encoding="utf-8").splitlines()
        failed += [
            f"{path.name}:\n" + "\n".join(lines[max(0, number - 2) : number + 40])
            for number, line in enumerate(lines)
            if "Traceback (most recent call last)" in line or "panicked at" in line
        ]
    assert not failed, "\n\n".join(failed)
