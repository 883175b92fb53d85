"""``python -m runtime reconcile``: one run of the reconcile function's schedule."""

from __future__ import annotations

import json

from runtime.emf import print_line
from runtime.functions import FunctionError, FunctionPool
from runtime.log import log
from runtime.service import function_spec

# As in Lambda. A run stops before it, and the next run continues.
TIMEOUT_S = 900.0


def run(handler: str) -> int:
    """Run once and print the report. Return 1 when the run failed."""
    pool = FunctionPool(function_spec("reconcile", handler, TIMEOUT_S), concurrency=1)
    try:
        print_line(json.dumps(pool.invoke({"action": "reconcile"})))
    except FunctionError as error:
        log("ERROR", f"reconcile: {error}")
        return 1
    finally:
        pool.close()
    return 0
