"""Run a supervisor with toy functions and no language model, for tests: ``run_toy_stack.py DATA``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from infra.local import stack as stack_module
from infra.local.console import StackConsole
from infra.local.ports import free_port
from infra.local.stack import StackOptions, plan
from infra.local.supervisor import Supervisor


def main(data: Path) -> None:
    options = StackOptions(
        data,
        port=0,
        query_handler="toy_functions.proxy",
        ingest_handler="toy_functions.ingest",
        environment={"DOCWELL_TOY_LOG": str(data / "toy.log")},
    )
    os.environ["DOCWELL_FIRST_TOKEN_S"] = "0"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    # Take any free port: stacks of other tests start at the same time, and would choose the same ports.
    setattr(stack_module, "free_port", lambda _, taken: free_port(0, taken))  # noqa: B010 - mypy
    stack, parts = plan(options, "http://127.0.0.1:9", Path)
    supervisor = Supervisor(parts, StackConsole(data / "logs"))
    signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())
    supervisor.start()
    stack.write()
    supervisor.watch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
