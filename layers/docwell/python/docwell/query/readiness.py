"""Whether the dependencies of a question respond."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from docwell.deadline import Deadline
from docwell.errors import DocwellError

OK = "ok"


@dataclass
class Readiness:
    """Calls each check at most once in `kept_s` seconds."""

    checks: Mapping[str, Callable[[], Awaitable[object]]]
    kept_s: float
    clock: Callable[[], float] = time.monotonic
    _results: Mapping[str, str] = field(init=False)
    _expires = -1.0

    async def dependencies(self, deadline: Deadline) -> Mapping[str, str]:
        """Return `ok` or the failure of each dependency. The checks run in parallel until the deadline."""
        if self.clock() >= self._expires:
            results = await asyncio.gather(
                *(_result(name, check, deadline) for name, check in self.checks.items())
            )
            self._results = dict(zip(self.checks, results, strict=True))
            self._expires = self.clock() + self.kept_s
        return self._results


async def _result(name: str, check: Callable[[], Awaitable[object]], deadline: Deadline) -> str:
    try:
        async with deadline.stage(name):
            await check()
    except DocwellError as error:
        return error.detail
    return OK
