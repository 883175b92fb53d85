"""What keeps a failing or busy model host from being given more to do. Knows no host: the clock is handed in.

`GuardedModel` puts three guards before a model: a breaker that lets a failing host rest, a budget that keeps
retries a small share of all requests, and a cap on requests at work. Each guard may be shared by several
models of one host, and each is safe for threads.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from docwell.answers import Completion, Message
from docwell.errors import Cancelled, DeadlineExceeded, DocwellError, ModelMissing, Overloaded, Unavailable
from docwell.ports import LanguageModel, ModelFacts

_HOST = "ollama"
# An attempt with less than this left would only load the host.
_LEAST_ATTEMPT_S = 0.5
# A place comes free when some answer ends: a guess at when.
_FULL_RETRY_S = 2.0
# The first failures of a process may be retried although it has earned nothing yet.
_RETRIES_AT_START = 1.0
_MOST_RETRIES_SAVED = 10.0


class Outcome(StrEnum):
    """What one attempt says of the host."""

    WORKED = "worked"
    FAILED = "failed"
    UNKNOWN = "unknown"


class CircuitBreaker:
    """Lets a host rest for `rest_s` seconds after `failures` failures in a row, then tries it with one request.

    Closed: everything passes. Open: nothing does, until the rest is over. Half open: one attempt at a time
    passes; if it works the breaker closes, if it fails the host rests again.
    """

    def __init__(self, failures: int, rest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._rest_s = rest_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._opened_at: float | None = None
        self._probing = False
        self._epoch = 0

    def enter(self) -> Permit:
        """The right to one attempt; it must be settled. Raises `Overloaded` while the host rests."""
        with self._lock:
            if self._opened_at is None:
                return Permit(self, self._epoch)
            left = self._opened_at + self._rest_s - self._clock()
            if left > 0:
                raise Overloaded(_HOST, "the model host has failed just now and is given a rest", left)
            if self._probing:
                raise Overloaded(_HOST, "the model host has failed and is being tried again", _FULL_RETRY_S)
            self._probing = True
            return Permit(self, self._epoch)

    @property
    def closed(self) -> bool:
        """Whether everything passes."""
        with self._lock:
            return self._opened_at is None

    def _settle(self, epoch: int, outcome: Outcome) -> None:
        with self._lock:
            if epoch != self._epoch:
                return  # begun before the breaker last opened or closed: it says nothing about now
            if outcome is Outcome.FAILED:
                self._failed += 1
                if self._opened_at is not None or self._failed >= self._most:
                    self._turn(self._clock())
            elif outcome is Outcome.WORKED:
                self._failed = 0
                if self._opened_at is not None:
                    self._turn(None)
            else:
                self._probing = False

    def _turn(self, opened_at: float | None) -> None:
        self._opened_at = opened_at
        self._failed = 0
        self._probing = False
        self._epoch += 1


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to one attempt."""

    _breaker: CircuitBreaker
    _epoch: int

    def settle(self, outcome: Outcome) -> None:
        """Say how the attempt ended."""
        self._breaker._settle(self._epoch, outcome)  # noqa: SLF001 - the two are one thing


class RetryBudget:
    """At most `share` retries for each request in the long run, and a few at the start."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = _RETRIES_AT_START if share > 0 else 0.0
        self._lock = threading.Lock()

    def earn(self) -> None:
        """One more request has come."""
        with self._lock:
            self._saved = min(self._saved + self._share, _MOST_RETRIES_SAVED)

    def spend(self) -> bool:
        """Whether one more retry may be made."""
        with self._lock:
            # A tenth ten times over is a little less than one.
            if self._saved < 1 - 1e-9:
                return False
            self._saved -= 1
            return True


class InFlight:
    """At most `limit` requests at work, used as a context. Entering raises `Overloaded` when all are taken."""

    def __init__(self, limit: int) -> None:
        self._free = threading.BoundedSemaphore(limit)

    def __enter__(self) -> None:
        if not self._free.acquire(blocking=False):
            raise Overloaded(_HOST, "as many questions are at work as the model host is given", _FULL_RETRY_S)

    def __exit__(self, *_: object) -> None:
        self._free.release()


@dataclass(frozen=True)
class GuardedModel:
    """`docwell.ports.LanguageModel`, with a second attempt before the first token and the three guards.

    Running into a deadline of less than `fair_s` seconds says nothing of the host. A second attempt comes
    after a random part of `backoff_s` seconds (full jitter).
    """

    model: LanguageModel
    breaker: CircuitBreaker
    in_flight: InFlight
    retries: RetryBudget
    backoff_s: float = 1.0
    fair_s: float = 5.0
    clock: Callable[[], float] = time.monotonic

    @property
    def name(self) -> str:
        """The model's name on its host."""
        return self.model.name

    def check(self) -> None:
        """Ask the host itself, whatever the guards say. Raises as `chat` does."""
        self.model.check()

    def chat(
        self,
        messages: Sequence[Message],
        timeout_s: float,
        on_token: Callable[[str], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Completion:
        """One answer within `timeout_s` seconds, both attempts together.

        Raises:
            Overloaded: the host is given a rest, or has as many requests as it may have.
            DocwellError: as the model raises it.
        """
        started = self.clock()
        with self.in_flight:
            request = _Request(self, messages, on_token, cancel)
            self.retries.earn()
            try:
                return request.attempt(timeout_s)
            except Unavailable as error:
                pause = random.uniform(0, self.backoff_s)  # noqa: S311 - jitter, not a secret
                left = timeout_s - (self.clock() - started) - pause
                # Closed: a retry may not take the one attempt that tries the host after its rest.
                again = _worth_repeating(error) and not request.begun and self.breaker.closed
                if not again or left < _LEAST_ATTEMPT_S or not self.retries.spend():
                    raise
            _wait(pause, cancel)
            # What the pause left, not what it should have left: a busy machine sleeps longer.
            waited = self.clock() - started
            answer = request.attempt(max(timeout_s - waited, 0.0))
            return replace(answer, first_token_ms=answer.first_token_ms + waited * 1000)


@dataclass(frozen=True)
class GuardedFacts:
    """`docwell.ports.ModelFacts`, not asked of a host that is given a rest: then `Overloaded`."""

    facts: ModelFacts
    breaker: CircuitBreaker

    def context_length(self) -> int:
        """As the host says. Raises as `LanguageModel.chat` does."""
        self._check()
        return self.facts.context_length()

    def digest(self) -> str | None:
        """As the host says. Raises as `LanguageModel.chat` does."""
        self._check()
        return self.facts.digest()

    def _check(self) -> None:
        if not self.breaker.closed:
            raise Overloaded(_HOST, "the model host is given a rest", _FULL_RETRY_S)


class _Request:
    """One request over its attempts."""

    def __init__(
        self,
        guarded: GuardedModel,
        messages: Sequence[Message],
        on_token: Callable[[str], None] | None,
        cancel: threading.Event | None,
    ) -> None:
        self._guarded = guarded
        self._messages = messages
        self._on_token = on_token
        self._cancel = cancel
        self.begun = False

    def attempt(self, timeout_s: float) -> Completion:
        permit = self._guarded.breaker.enter()
        outcome = Outcome.UNKNOWN
        try:
            completion = self._guarded.model.chat(self._messages, timeout_s, self._token, self._cancel)
            outcome = Outcome.WORKED
        except DocwellError as error:
            outcome = _outcome(error, fair=timeout_s >= self._guarded.fair_s)
            raise
        finally:
            permit.settle(outcome)
        return completion

    def _token(self, text: str) -> None:
        self.begun = True
        if self._on_token is not None:
            self._on_token(text)


def _outcome(error: DocwellError, *, fair: bool) -> Outcome:
    """What an error says of the host: one that says no has answered."""
    if isinstance(error, DeadlineExceeded):
        return Outcome.FAILED if fair else Outcome.UNKNOWN
    if not isinstance(error, Unavailable) or isinstance(error, Overloaded):
        return Outcome.UNKNOWN
    return Outcome.FAILED if error.retry_after is not None else Outcome.WORKED


def _worth_repeating(error: Unavailable) -> bool:
    if isinstance(error, DeadlineExceeded | ModelMissing | Overloaded):
        return False
    return error.retry_after is not None


def _wait(pause_s: float, cancel: threading.Event | None) -> None:
    if cancel is None:
        time.sleep(pause_s)
    elif cancel.wait(pause_s):
        raise Cancelled("the question was given up before the model was asked again")
