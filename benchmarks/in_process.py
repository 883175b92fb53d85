"""The ingest handler in this process, so that thousands of steps take minutes, and each can be timed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.fresh_wiring import clear_caches
from infra.local.poller import failed_ids

_QUIET = {
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    "POWERTOOLS_METRICS_DISABLED": "true",
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_SERVICE_NAME": "docwell-ingest",
}


class _Context:
    """The parts of Lambda's context that the handler reads."""

    function_name = "docwell-ingest"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:docwell-ingest"
    aws_request_id = "0"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 60_000


@contextmanager
def ingest_handler(environment: Mapping[str, str]) -> Iterator[Callable[[Any], bool]]:
    """Set the environment during the block; yields a function that handles an event and returns its success."""
    with patch.dict(os.environ, {**environment, **_QUIET}):
        # Its Powertools objects read the environment when they are made.
        from functions.ingest.handler import handler

        clear_caches()

        def handle(event: dict[str, Any]) -> bool:
            # Powertools prints every hundred metrics even where metrics are off.
            with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing):
                answer: Any = handler(event, _Context())
            return not failed_ids(dict(answer), {record["messageId"] for record in event["Records"]})

        try:
            yield handle
        finally:
            clear_caches()
