"""The common part of all adapters of model hosts: time-outs, and errors that quote neither question nor answer."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

import httpx

from docwell.errors import DocwellError, ModelWaking, Unavailable

# httpcore loads these at the first request, which takes 30 ms; here they load before it.
for _module in ("anyio._backends._asyncio", "httpcore._backends.anyio"):
    import_module(_module)
# httpcore tries to import sniffio nine times a request. Without it each try searches the path: 1.4 ms together.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment] # Python's mark of a module that is not there

# The deadline of the call is the only limit on reading: a long prompt is silent.
TIMEOUT = httpx.Timeout(None, connect=3.0)
CHECK_TIMEOUT_S = 5.0


def failed(host: str, error: Exception, protocol: str) -> DocwellError:
    """Return the error of `host` for one that its client raised. A broken answer breaks anywhere in a client."""
    if isinstance(error, DocwellError):
        return error
    kind = type(error).__name__
    if isinstance(error, httpx.TransportError | OSError):
        return Unavailable(host, f"no answer from the model host ({kind})")
    return Unavailable(host, f"the model host does not speak {protocol}'s protocol ({kind})")


def refused(host: str, status: int) -> Unavailable:
    """Return the error of `host` for a status that is no success. Only a failure may be asked again."""
    detail = f"the model host answered with status {status}"
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS:
        return Unavailable(host, detail)
    return Unavailable(host, detail, retry_after=None)


async def raise_without_host(response: httpx.Response) -> None:
    """Raise `ModelWaking` for a 503 of the load balancer, which is a page of HTML; a model host's own is JSON."""
    is_json = "json" in response.headers.get("content-type", "")
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and not is_json:
        raise ModelWaking("ollama", "no model host is running: a question starts one")
