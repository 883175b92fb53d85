"""The local stack's HTTP side: the runtime's gateway, and what AWS offers beside it.

``python -m infra.local.gateway --port 8080``

It also serves the console, forwards documents and uploads to the local AWS server, serves the part of Lambda's API
that calls the reconcile function by its name, and runs that function's schedule.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import uvicorn

from docwell.access.authorizer import Authorizer
from docwell.http.console_links import ORIGIN_HEADER
from docwell.wiring import access
from infra.local.console_files import console_file
from infra.local.functions_api import functions_route, scheduled
from infra.local.names import HOST, RECONCILE_FUNCTION
from infra.local.storage import Storage, is_storage
from runtime import gateway
from runtime.functions import FunctionPool, FunctionSpec, function_environment
from runtime.guard import Guarded
from runtime.service import HANDLER_RUNTIME
from runtime.threads import end_with_any_thread

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

# As in infra/query.yaml. The cost of an answer grows with the memory.
QUERY_MEMORY_MB = 1769
RECONCILE_TIMEOUT_S = 900.0


class Gateway(gateway.Gateway):
    """The runtime's gateway with the console, the storage, and the functions that Lambda's API calls by name."""

    def __init__(
        self,
        pool: FunctionPool,
        functions: Mapping[str, FunctionPool] | None = None,
        authorizer: Authorizer | None = None,
        keys: tuple[str, str] | None = None,
        storage: Storage | None = None,
    ) -> None:
        """Calls of Lambda's API need a signature with `keys`: access key, secret key. None accepts every call."""
        super().__init__(pool, authorizer, [functions_route(functions or {}, keys)])
        self._storage = storage

    async def outside_api(self, request: Request, request_id: str) -> Response | None:
        """Return a file of the console, or the storage's answer."""
        response = console_file(request)
        if response is None and self._storage and is_storage(request):
            return await self._storage.forward(request, request_id)
        return response

    def added_headers(self, request: Request) -> dict[str, str]:
        """Return the console's address, to which answers in other programs link."""
        return {ORIGIN_HEADER: f"{request.url.scheme}://{request.url.netloc}"}


def main() -> int:
    """Serve until SIGTERM."""
    threading.excepthook = end_with_any_thread
    parser = argparse.ArgumentParser(description="HTTP to the query function.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--stack", default="")
    parser.add_argument("--handler", default="functions.query.handler.handler")
    parser.add_argument("--timeout", type=float, default=130.0, help="seconds for one answer")
    parser.add_argument("--waiting", type=int, default=16, help="callers that may wait")
    parser.add_argument("--reconcile-handler", default="functions.reconcile.handler.handler")
    parser.add_argument("--reconcile-every", type=float, default=0.0, help="seconds; 0 is never")
    options = parser.parse_args()
    spec = FunctionSpec(
        options.handler,
        function_environment(),
        timeout_s=options.timeout,
        memory_mb=QUERY_MEMORY_MB,
        runtime=HANDLER_RUNTIME,
    )
    # The model answers one question at a time, so a caller may wait as long as an answer takes.
    pool = FunctionPool(spec, max_waiting=options.waiting, wait_s=options.timeout, publishes=True)
    threading.Thread(target=pool.warm, daemon=True).start()
    environment = {**function_environment(), "POWERTOOLS_SERVICE_NAME": "reconcile"}
    reconcile = FunctionPool(
        FunctionSpec(options.reconcile_handler, environment, timeout_s=RECONCILE_TIMEOUT_S),
        concurrency=1,
        wait_s=RECONCILE_TIMEOUT_S,
        publishes=True,
    )
    if options.reconcile_every > 0:
        threading.Thread(target=scheduled, args=(reconcile, options.reconcile_every), daemon=True).start()
    keys = (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    storage = Storage(os.environ["AWS_ENDPOINT_URL"])
    app = Gateway(pool, {RECONCILE_FUNCTION: reconcile}, access.authorizer(), keys, storage).app
    config = uvicorn.Config(
        Guarded(app, options.stack), HOST, options.port, log_level="warning", timeout_graceful_shutdown=1
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()
    pool.close()
    reconcile.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
