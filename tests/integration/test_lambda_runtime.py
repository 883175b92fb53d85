from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from runtime.functions import (
    FunctionBusy,
    FunctionCrashed,
    FunctionInitFailed,
    FunctionPool,
    FunctionRaised,
    FunctionSpec,
    FunctionTimedOut,
)
from runtime.runtime_api import VERSION, Invocation, Result, RuntimeApi

from .waiting import until

pytestmark = pytest.mark.integration

TOYS = {"PYTHONPATH": str(Path(__file__).parent)}


class Pools:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self._made: list[FunctionPool] = []

    def make(self, toy: str, timeout_s: float = 10.0, **settings: Any) -> FunctionPool:
        spec = FunctionSpec(f"toy_functions.{toy}", TOYS, timeout_s, on_line=self.lines.append)
        pool = FunctionPool(spec, **settings)
        self._made.append(pool)
        return pool

    def close(self) -> None:
        for pool in self._made:
            pool.close()


@pytest.fixture
def pools() -> Iterator[Pools]:
    made = Pools()
    yield made
    made.close()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_function_gets_its_event_and_a_context_as_in_lambda(pools: Pools) -> None:
    answer = pools.make("echo", timeout_s=7).invoke({"question": "é 日本"})
    assert answer["event"] == {"question": "é 日本"}
    assert 2000 < answer["left_ms"] <= 7000
    assert answer["function_name"] == "toy_functions"
    assert answer["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:toy_functions"
    assert len(answer["request_id"]) == 36


def test_calls_one_after_the_other_reuse_one_warm_environment(pools: Pools) -> None:
    pool = pools.make("echo", concurrency=4)
    assert len({pool.invoke({})["pid"] for _ in range(5)}) == 1


def test_calls_at_the_same_time_get_environments_of_their_own(pools: Pools) -> None:
    pool = pools.make("sleeps", concurrency=3)
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(pool.invoke, [{"seconds": 0.7}] * 3))
    assert len({answer["pid"] for answer in answers}) == 3


def test_what_the_handler_raises_is_told_and_the_environment_stays(pools: Pools) -> None:
    pool = pools.make("raises")
    for _ in range(2):
        with pytest.raises(FunctionRaised, match="ValueError: this is wrong"):
            pool.invoke({})


def test_an_answer_over_lambdas_limit_is_an_error(pools: Pools) -> None:
    with pytest.raises(FunctionRaised, match="ResponseSizeTooLarge"):
        pools.make("huge").invoke({})


def test_a_crash_is_told_with_the_last_line_and_the_next_call_has_a_new_environment(pools: Pools) -> None:
    pool = pools.make("dies")
    for _ in range(2):
        with pytest.raises(FunctionCrashed, match="status 3: the last thing that it says"):
            pool.invoke({})
    assert pools.lines.count("the last thing that it says") == 2


def test_a_handler_that_cannot_be_imported_is_an_init_failure(pools: Pools) -> None:
    with pytest.raises(FunctionInitFailed, match="missing"):
        pools.make("missing").invoke({})


def test_at_its_timeout_a_function_is_killed_with_all_that_it_started(pools: Pools, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(FunctionTimedOut):
        pools.make("sleeps", timeout_s=1).invoke({"pids": str(pids)})
    function, grandchild = map(int, pids.read_text().split())
    until(lambda: gone(function) and gone(grandchild))


def test_an_environment_that_dies_idle_is_replaced(pools: Pools) -> None:
    pool = pools.make("echo")
    first = pool.invoke({})["pid"]
    psutil.Process(first).kill()
    until(lambda: gone(first))
    time.sleep(0.2)
    assert pool.invoke({})["pid"] != first


def test_a_caller_that_finds_the_line_full_is_told_so_at_once(pools: Pools, tmp_path: Path) -> None:
    pool = pools.make("sleeps", concurrency=1, max_waiting=0, wait_s=600)
    pids = tmp_path / "pids"
    busy = threading.Thread(target=pool.invoke, args=({"seconds": 2, "pids": str(pids)},))
    busy.start()
    until(pids.exists)
    with pytest.raises(FunctionBusy):
        pool.invoke({})
    assert busy.is_alive()  # the rejected caller waited neither for it nor for the queue's 600 s
    busy.join()


def test_a_caller_waits_in_line_no_longer_than_allowed(pools: Pools) -> None:
    pool = pools.make("sleeps", concurrency=1, max_waiting=5, wait_s=0.3)
    busy = threading.Thread(target=pool.invoke, args=({"seconds": 1.5},))
    busy.start()
    time.sleep(0.2)
    with pytest.raises(FunctionBusy):
        pool.invoke({})
    busy.join()


def test_an_answer_sent_in_chunks_is_put_together() -> None:
    api = RuntimeApi()
    pieces = (piece for piece in (b'{"a"', b": 1}"))
    url = f"http://{api.address}/2018-06-01/runtime/invocation/some-id/response"
    assert httpx.post(url, content=pieces).status_code == 202
    assert api.happenings.get(timeout=20) == Result("some-id", b'{"a": 1}')
    api.close()


@pytest.mark.parametrize("mode", ["no-cors", "navigate", "cors", "same-origin"])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
def test_a_browser_takes_no_event_from_its_function(mode: str, site: str) -> None:
    api = RuntimeApi()
    try:
        api.give(Invocation("one", b"{}", 0, "arn"))
        url = f"http://{api.address}{VERSION}/invocation/next"
        # An image, a frame and a link send no Origin.
        page = httpx.get(url, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}, trust_env=False)
        assert page.status_code == 403
        assert api.happenings.empty()
        assert httpx.get(url, trust_env=False).headers["Lambda-Runtime-Aws-Request-Id"] == "one"
    finally:
        api.close()
