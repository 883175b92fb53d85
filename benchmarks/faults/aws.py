"""S3 and DynamoDB for the suite: moto in a new process, one DynamoDB request at a time, with faults on demand.

``python -m benchmarks.faults.aws PORT SEED``. A POST of `Rule`s, a JSON list, to `/faults` replaces the rules, and
returns how many requests met one so far.
"""

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from infra.local.names import HOST

# The workers' access key; only its requests meet faults.
WORKER_KEY = "worker"


@dataclass(frozen=True, slots=True)
class Rule:
    """Fail a share of the requests. `target` is `dynamodb`, or a method such as `GET` for S3.

    `status` 0 lets the request through after `delay_s` seconds; `after` does the work, and then fails.
    """

    target: str
    probability: float
    status: int
    code: str
    delay_s: float = 0.0
    after: bool = False

    def body(self) -> bytes:
        """Return the error as the service writes it."""
        if self.target == "dynamodb":
            error = {"__type": f"com.amazonaws.dynamodb.v20120810#{self.code}", "message": "made to fail"}
            return json.dumps(error).encode()
        return b"" if self.target == "HEAD" else f"<Error><Code>{self.code}</Code></Error>".encode()


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise headers and body wait 40 ms for each other's acknowledgement.
    disable_nagle_algorithm = True

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing: a run has 100,000 requests."""


class FaultyAws:
    """moto's application behind faults."""

    def __init__(self, moto: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]], seed: int) -> None:
        self._moto = moto
        self._random = random.Random(seed)
        self._rules: tuple[Rule, ...] = ()
        self._faults = 0
        # moto checks a condition and then writes without a lock in between; DynamoDB does both at once.
        self._one_at_a_time = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if environ["PATH_INFO"] == "/faults":
            self._rules = tuple(Rule(**rule) for rule in json.loads(environ["wsgi.input"].read(length)))
            return _answer(start_response, 200, json.dumps({"faults": self._faults}).encode())
        dynamodb = environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB")
        target = "dynamodb" if dynamodb else environ["REQUEST_METHOD"]
        by_worker = f"Credential={WORKER_KEY}/" in environ.get("HTTP_AUTHORIZATION", "")
        rules = (
            rule for rule in self._rules if rule.target == target and self._random.random() < rule.probability
        )
        rule = next(rules, None) if by_worker else None
        if rule is not None:
            self._faults += 1
            time.sleep(rule.delay_s)
        if rule is None or rule.status == 0:
            return self._through(environ, start_response, dynamodb=dynamodb)
        if rule.after:
            b"".join(self._through(environ, lambda *_: lambda _: None, dynamodb=dynamodb))
        else:  # read the body: the next request on this connection begins after it
            environ["wsgi.input"].read(length)
        return _answer(start_response, rule.status, rule.body())

    def _through(
        self, environ: WSGIEnvironment, start_response: StartResponse, *, dynamodb: bool
    ) -> Iterable[bytes]:
        if not dynamodb:
            return self._moto(environ, start_response)
        with self._one_at_a_time:
            return [*self._moto(environ, start_response)]


def _answer(start_response: StartResponse, status: int, body: bytes) -> Iterable[bytes]:
    start_response(f"{status} -", [("Content-Length", str(len(body))), ("Content-Type", "application/xml")])
    return [body]


if __name__ == "__main__":
    port, seed = map(int, sys.argv[1:])
    application = FaultyAws(DomainDispatcherApplication(create_backend_app), seed)
    make_server(HOST, port, application, threaded=True, request_handler=_Handler).serve_forever()
