"""The log lines of the runtime itself: JSON with the fields of the functions' log lines."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Literal

from runtime.emf import print_line


def log(level: Literal["INFO", "WARNING", "ERROR"], message: str) -> None:
    """Print one line in ASCII: a log viewer may obey a control character of a key in a path."""
    print_line(
        json.dumps(
            {
                "level": level,
                "message": message,
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "service": os.environ.get("POWERTOOLS_SERVICE_NAME", "runtime"),
                "logger_name": "runtime",
            }
        )
    )
