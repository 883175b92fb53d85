"""The case files of tests: one JSON value a line, in a `.jsonl` beside the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def rows(test_file: str, name: str) -> list[Any]:
    """Return the rows of the case file `name` beside a test's `__file__`."""
    text = Path(test_file).with_name(f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.split("\n") if line]
