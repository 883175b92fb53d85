"""The common part of the adapters of model hosts: connections, and errors that quote no question or answer."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from copy import copy
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

import httpx

from docwell.errors import Corrupt, DocwellError, ModelWaking, Unavailable

if TYPE_CHECKING:
    from docwell.adapters.server_auth import ServerAuth

# httpcore loads these at the first request, which takes 30 ms; load them now.
for _module in ("anyio._backends._asyncio", "httpcore._backends.anyio"):
    import_module(_module)
# httpcore tries to import sniffio nine times a request. If it is not installed, the failed searches take 1.4 ms.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment] # Python's mark of a module that is not there

# Only the deadline limits reading: the host sends nothing while it processes a long prompt.
_TIMEOUT = httpx.Timeout(None, connect=3.0)
CHECK_TIMEOUT_S = 5.0


class ModelServer(ABC):
    """One model of one host. Each call is one attempt.

    Every request sends `options` under the host's names. Answers are greedy with a fixed seed, so that they are
    comparable. With `sleeps`, a load balancer without hosts raises `ModelWaking`.
    """

    # The host's name of the option that limits an answer, in tokens.
    limit_name: str

    def __init__(self, model: str, options: dict[str, Any], *, sleeps: bool, auth: ServerAuth | None) -> None:
        self.name = model
        self._context_length: int | None = None
        self.options = options | {"temperature": 0.0, "seed": 7}
        self.connection: dict[str, Any] = {
            "verify": auth.tls if auth else httpx.create_ssl_context(),  # takes 10 ms to create: share one
            "auth": auth,
            "timeout": _TIMEOUT,
            "follow_redirects": False,  # send a question only to the configured host
            "event_hooks": {"response": [raise_without_host] if sleeps else []},
        }

    async def check(self) -> None:
        """Return once the host answers, within 5 s, and has the model. Raises as `chat` does."""
        await self.stated_length()

    async def context_length(self) -> int:
        """Return the tokens that the model can read. Raises as `chat` does, and `Corrupt` if unstated."""
        if self._context_length is None:
            length = await self.stated_length()
            if not isinstance(length, int):
                raise Corrupt(f"the model host does not say the context length of {self.name!r}")
            self._context_length = length
        return self._context_length

    @abstractmethod
    async def stated_length(self) -> object:
        """Return the context length that the host states for the model. Raises as `chat` does."""

    def writing_at_most(self, num_predict: int) -> Self:
        """Return the same model with another limit of answer tokens, which does not reload it."""
        limited = copy(self)
        limited.options = self.options | {self.limit_name: num_predict}
        return limited


def failed(host: str, error: Exception, protocol: str) -> DocwellError:
    """Return docwell's error for one that the client of `host` raised."""
    if isinstance(error, DocwellError):
        return error
    kind = type(error).__name__
    if isinstance(error, httpx.TransportError | OSError):
        return Unavailable(host, f"no answer from the model host ({kind})")
    return Unavailable(host, f"the model host does not speak {protocol}'s protocol ({kind})")


def refused(host: str, status: int) -> Unavailable:
    """Return docwell's error for an error status of `host`. Only an error of the server may be retried."""
    detail = f"the model host answered with status {status}"
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS:
        return Unavailable(host, detail)
    return Unavailable(host, detail, retry_after=None)


async def raise_without_host(response: httpx.Response) -> None:
    """Raise `ModelWaking` for a 503 page in HTML, which the load balancer sends; a model host's 503 is JSON."""
    is_json = "json" in response.headers.get("content-type", "")
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and not is_json:
        raise ModelWaking("ollama", "no model host is running: a question starts one")
