"""What people would use instead, as its documentation shows, in an environment of its own (`.venv-peers`).

A peer is a script that runs there, knows nothing of docwell, takes one JSON object as its argument and
prints one as its last line. `run` runs it.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.peers.environment import python

_HERE = Path(__file__).resolve().parent


class PeerError(Exception):
    """A peer failed; the message has the end of what it printed."""


def run(name: str, timeout_s: float = 3600.0, **arguments: object) -> dict[str, Any]:
    """What `NAME.py` prints. Raises `PeerError`."""
    command = [str(python()), str(_HERE / f"{name}.py"), json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    try:
        if done.returncode == 0:
            answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
            return answer
    except (ValueError, IndexError):
        pass
    raise PeerError(f"{name}: {(done.stderr or done.stdout)[-2000:]}")
