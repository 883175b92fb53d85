"""Protect a failing model host: one retry before the first token, and a breaker that lets the host rest.

Reserved concurrency of the function bounds how many requests reach the host at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from docwell.answers import Completion, Message, Usage
from docwell.deadline import Deadline
from docwell.errors import DeadlineExceeded, DocwellError, ModelWaking, NoAnswer, Overloaded, Unavailable
from docwell.ports import LanguageModel, ModelFacts

_HOST = "ollama"
# An attempt with less time than this would only load the host.
_LEAST_ATTEMPT_S = 0.5


class Breaker:
    """Lets a host rest for `rest_s` seconds after `failures` failures in a row.

    After a rest, one failure starts another rest. A process answers one request at a time, so the first request
    after the rest is the only probe.
    """

    def __init__(self, failures: int, rest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._rest_s = rest_s
        self._clock = clock
        self._failed = 0
        self._rests_until = 0.0
        # True while the host neither rests nor waits for its probe.
        self.closed = True

    def check(self, *, may_probe: bool) -> None:
        """Raise `Overloaded` while the host rests; without `may_probe` also while it waits for its probe."""
        left = self._rests_until - self._clock()
        if left > 0 or not (may_probe or self.closed):
            raise Overloaded(_HOST, "the model host has just failed and is resting", max(left, 0.0))

    def record(self, *, failed: bool) -> None:
        """Record whether an attempt failed."""
        self._failed = self._failed + 1 if failed else 0
        self.closed = self._failed < self._most
        if not self.closed:
            self._rests_until = self._clock() + self._rest_s


@dataclass(frozen=True)
class GuardedModel:
    """`docwell.ports.LanguageModel` with a breaker, and one retry before the first token.

    The retry waits a random part of `backoff_s` seconds (full jitter). Missing a deadline shorter than `fair_s`
    seconds does not count as a failure of the host. While a host fails, it gets no requests for facts.
    """

    model: LanguageModel
    breaker: Breaker
    backoff_s: float = 1.0
    fair_s: float = 5.0

    @property
    def name(self) -> str:
        """The model's name on its host."""
        return self.model.name

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        """Yield pieces of text and last the completion, within `timeout_s` seconds for both attempts together.

        Raises `Overloaded` while the host rests, and the errors of the model.
        """
        deadline = Deadline(timeout_s)
        for is_retry in (False, True):
            has_begun, attempt_s = False, deadline.left()
            self.breaker.check(may_probe=True)
            try:
                async with aclosing(self.model.chat(messages, attempt_s)) as pieces:
                    async for piece in pieces:
                        has_begun = True
                        if isinstance(piece, Completion):
                            self.breaker.record(failed=False)
                        yield piece
            except DocwellError as error:
                is_late, is_fair = isinstance(error, DeadlineExceeded), attempt_s >= self.fair_s
                of_host = isinstance(error, Unavailable) and not isinstance(error, Overloaded | ModelWaking)
                works = isinstance(error, Unavailable) and error.retry_after is None  # it refuses a request
                if of_host and (is_fair or not is_late):
                    self.breaker.record(failed=is_late or not works)
                pause_s = random.uniform(0, self.backoff_s)  # noqa: S311 - jitter, not a secret
                may_retry = of_host and not is_late and not works and deadline.left(pause_s) >= _LEAST_ATTEMPT_S
                # An open breaker allows one attempt, the probe: do not repeat it.
                if is_retry or has_begun or not may_retry or not self.breaker.closed:
                    raise
            else:
                return
            await asyncio.sleep(pause_s)

    async def facts(self) -> ModelFacts:
        """Return the facts of the model. Raises as `chat` does."""
        self.breaker.check(may_probe=False)
        return await self.model.facts()


async def whole(pieces: AsyncGenerator[str | Completion]) -> Completion:
    """Return the completion of a chat once all its pieces have come."""
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Completion):
                return piece
    raise Unavailable(_HOST, "the model host ended its answer early")


def charged(error: Unavailable, estimate: Usage) -> Usage:
    """Return the tokens to charge for a failed call: the `estimate` if the host may have read the prompt."""
    if isinstance(error, NoAnswer):
        return Usage(error.read, error.written)
    unread = isinstance(error, Overloaded | ModelWaking) or error.retry_after is None
    return Usage() if unread else estimate
