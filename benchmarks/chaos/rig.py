"""The real query function on a new local stack, with control over everything that it depends on."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.doors import Doors, Seen, local_stack
from benchmarks.model_host import MODEL, Misdeed, ModelHost
from benchmarks.pdfs import pdf
from benchmarks.proxy import Proxy

KEY = "chaos/boiler.pdf"
PAGES = [
    "The boiler in the cellar is inspected every March by two engineers of the city. A sticker shows the date.",
    "Bicycles are kept in the yard behind the kitchen. The gate is locked at ten in the evening.",
]
QUESTION = "When is the boiler in the cellar inspected?"
SAYS = "The boiler in the cellar is inspected every March [1]."
_INDEXED_S = 120.0
_RETRY_S = 0.2
# So long that one environment of the function never answers two questions at once.
_ANSWER_S = 0.3


@dataclass
class Rig:
    """The stack and its dependencies. `deadline_s` and `rest_s` are the function's settings."""

    host: ModelHost
    chroma: Proxy
    ledger: Proxy
    doors: Doors
    gateway: str
    headers: Mapping[str, str]  # the API key
    deadline_s: float
    rest_s: float

    def ask(self, **more: Any) -> Seen:
        return self.doors.ask({"question": QUESTION, **more})

    def together(self, *bodies: dict[str, Any]) -> list[Seen]:
        """Ask the question several times at once, each with its additions."""
        with ThreadPoolExecutor(len(bodies)) as pool:
            return list(pool.map(lambda more: self.ask(**more), bodies))

    def heal(self) -> None:
        self.host.behave(Misdeed.NONE)
        self.chroma.behave()
        self.ledger.behave()

    def recovery(self, patience_s: float) -> float:
        """Return the seconds until both environments answer again; `patience_s` where they do not."""
        started = time.monotonic()
        while time.monotonic() - started < patience_s:
            # Two at once: each environment answers one question at a time.
            if all(_is_answer(seen) for seen in self.together({}, {})):
                return time.monotonic() - started
            time.sleep(_RETRY_S)
        return patience_s


def _is_answer(seen: Seen) -> bool:
    return seen.status == 200 and isinstance(seen.body, dict) and seen.body.get("status") == "answered"


@contextmanager
def rig(deadline_s: float, rest_s: float, *, openai: bool = False) -> Iterator[Rig]:
    """Run a stack with one indexed document, and control its model host, Chroma and ledger.

    The model host speaks Ollama's protocol, or OpenAI's.
    """
    with ExitStack() as stack:
        host, chroma, ledger = ModelHost(SAYS, first_s=_ANSWER_S), Proxy(), Proxy()
        for one in (host, chroma, ledger):
            stack.callback(one.close)
        environment = {
            "DOCWELL_DEADLINE_S": str(deadline_s),
            "DOCWELL_BREAKER_REST_S": str(rest_s),
            "DOCWELL_CHROMA_URL": chroma.url,
            "AWS_ENDPOINT_URL_DYNAMODB": ledger.url,
            "DOCWELL_OLLAMA_URL": f"{host.url}/v1" if openai else host.url,
        }
        options = {"environment": environment, "ingest_workers": 1, "reconcile_every_s": 0}
        parts = stack.enter_context(local_stack(MODEL, host.url, **options))
        chroma.backend_port = int(parts.chroma.rsplit(":", 1)[1])
        ledger.backend_port = int(parts.aws_endpoint.rsplit(":", 1)[1])
        doors = stack.enter_context(Doors(parts, timeout_s=4 * deadline_s + 10))
        doors.indexed(KEY, doors.put(KEY, pdf(PAGES)), _INDEXED_S)
        headers = {"x-api-key": parts.api_key}
        yield Rig(host, chroma, ledger, doors, parts.gateway, headers, deadline_s, rest_s)
