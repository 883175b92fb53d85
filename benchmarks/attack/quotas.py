"""Attacks on the quotas: races, clients that hang up, and one caller who takes every place."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

from benchmarks.attack.target import Target, Tries, Try
from benchmarks.attack.target import target as new_target
from benchmarks.model_host import Misdeed

_KEY = "quotas/boiler.pdf"
_PAGES = [
    "The boiler in the cellar is inspected every March by two engineers of the city. A sticker shows the date."
]
_SAYS = "The boiler in the cellar is inspected every March [1]. "
_QUESTION = {"question": "When is the boiler in the cellar inspected?", "collection": "quotas"}
# The settling of an answer runs after its last byte.
_SETTLED_S = 15.0
_RACERS = 12


def race(target: Target) -> Tries:
    """Ask many questions at once with a quota for one: the overshoot is one request at most."""
    _prepare(target)
    for _ in range(target.times(5, 1)):
        principal, key = target.principal("--collections", "quotas")
        if (status := _ask(target, key)) != 200:
            raise RuntimeError(f"the first question was not answered: {status}")
        cost = _charged(target, principal)
        principal, key = target.principal("--collections", "quotas", "--tokens-per-day", str(cost + 1))
        with ThreadPoolExecutor(_RACERS) as pool:
            answers = [pool.submit(_ask, target, key) for _ in range(_RACERS)]
            statuses = sorted(answer.result() for answer in answers)
        spent = _charged(target, principal)
        yield Try(f"{spent} tokens of {cost + 1} and one request of {cost}: {statuses}", spent > 2 * cost + 1)
        yield Try(f"no question was answered: {statuses}", 200 not in statuses)


def hang_up(target: Target) -> Tries:
    """Hang up a stream after so many lines: the tokens are charged and the receipt is stored."""
    _prepare(target)
    target.host.say(_SAYS * 3, pace_s=0.02)
    for lines in (1, 4, 7, 12, 30)[: target.times(5, 3)]:
        principal, key = target.principal("--collections", "quotas")
        with target.client(**{"x-api-key": key}) as client:
            with client.stream("POST", "/v1/query", json=_QUESTION | {"stream": True}) as response:
                answer = str(response.headers.get("x-request-id", ""))
                for number, _ in enumerate(response.iter_lines(), 1):
                    if number >= lines:
                        break
            spent = _charged(target, principal)
            yield Try(f"left after {lines} lines: {spent} tokens charged", spent == 0)
            stored = _until(partial(_is_stored, client, answer))
            yield Try(f"left after {lines} lines: receipt stored {stored}", not stored)
    target.host.say("")


def broken_answers(target: Target) -> Tries:
    """Make the model host fail in mid-answer: what it had read is charged."""
    _prepare(target)
    failures = (Misdeed.CUT, Misdeed.ENDS_EARLY, Misdeed.ERROR_LINE)
    for misdeed in failures[: target.times(3, 1)]:
        for fields in ({}, {"fallback": "extractive"}):
            principal, key = target.principal("--collections", "quotas")
            target.host.behave(misdeed)
            try:
                status = _ask(target, key, **fields)
            finally:
                target.host.behave(Misdeed.NONE)
            spent = _charged(target, principal)
            yield Try(f"{misdeed}, {fields or 'no fallback'}: {status}, {spent} tokens charged", spent == 0)
            # The breaker of the model host must not hide the next failure.
            time.sleep(0.2)


def one_caller(attacked: Target) -> Tries:
    """Hold many answers open with one key: others are still served.

    The limit is one, because the stack runs two functions at once.
    """
    with new_target(short=attacked.short, DOCWELL_MAX_IN_FLIGHT="1") as target:
        _prepare(target)
        _, greedy = target.principal("--collections", "quotas")
        _, modest = target.principal("--collections", "quotas")
        target.host.say(_SAYS * 10, pace_s=0.05)
        with ThreadPoolExecutor(_RACERS) as pool:
            answers = [pool.submit(_ask, target, greedy) for _ in range(_RACERS)]
            time.sleep(1.0)
            status = _ask(target, modest)
            statuses = sorted(answer.result() for answer in answers)
    yield Try(f"the other caller: {status}", status != 200)
    yield Try(f"the greedy caller was never asked to wait: {statuses}", 429 not in statuses)
    yield Try(f"the greedy caller was never answered: {statuses}", 200 not in statuses)


def _prepare(target: Target) -> None:
    if target.doors.document(_KEY) is None:
        target.index(_KEY, _PAGES)


def _ask(target: Target, key: str, **fields: str) -> int:
    with target.client(**{"x-api-key": key}) as client:
        return client.post("/v1/query", json=_QUESTION | fields).status_code


def _is_stored(client: httpx.Client, answer: str) -> bool:
    return client.get(f"/v1/receipts/{answer}").status_code == 200


def _charged(target: Target, principal: str) -> int:
    """Wait until tokens were charged and no longer change. Return them."""
    looks = [-1]

    def is_settled() -> bool:
        looks.append(target.tokens_today(principal))
        return looks[-1] == looks[-2] > 0

    _until(is_settled)
    return max(looks[-1], 0)


def _until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _SETTLED_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
