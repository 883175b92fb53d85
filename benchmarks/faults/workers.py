"""Workers: the real handler in execution environments that can be killed with SIGKILL while they work."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Self

import psutil

from benchmarks.faults.delivery import Receipt
from benchmarks.faults.world import World
from infra.local.lambda_runtime import Environment, FunctionError, FunctionRaised, FunctionSpec
from infra.local.poller import failed_ids

HANDLER = "functions.ingest.handler.handler"
_IDLE_S = 0.02
_WARM_S = 120.0
# Lambda's time-out of ingest here: far over what a document of some pages takes.
TIMEOUT_S = 90.0


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.resume()


class _Slot:
    """One worker: its environment, and since when it is at work."""

    def __init__(self) -> None:
        self.environment: Environment | None = None
        self.busy_since: float | None = None
        self.warm = threading.Event()


class Workers:
    """`count` of them, reading the world's queue until `close`."""

    def __init__(
        self,
        world: World,
        count: int,
        environment: dict[str, str] | None = None,
        handler: str = HANDLER,
        on_done: Callable[[Receipt, float], None] = lambda *_: None,
    ) -> None:
        """Start them. `on_done` is called with a message that was done and the seconds it took."""
        self.outcomes: Counter[str] = Counter()
        self.lines: deque[str] = deque(maxlen=4000)
        self.paused = 0
        self._world = world
        self._on_done = on_done
        environment = environment or world.environment()
        self._lease_s = float(environment["DOCWELL_LEASE_S"])
        self._leases_end = 0.0  # of the workers that died
        self._spec = FunctionSpec(
            handler,
            environment,
            timeout_s=TIMEOUT_S,
            init_timeout_s=120.0,
            on_line=self._on_line,
        )
        self._stopping = threading.Event()
        self._slots = [_Slot() for _ in range(count)]
        self._threads = [threading.Thread(target=self._work, args=(slot,), daemon=True) for slot in self._slots]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        """Wait until all are warm: what happens before is seen by nobody."""
        deadline = time.monotonic() + _WARM_S
        while not all(slot.warm.is_set() for slot in self._slots) and time.monotonic() < deadline:
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill them all."""
        self._stopping.set()
        for slot in self._slots:
            self._kill(slot)
        for thread in self._threads:
            thread.join(10)
        for slot in self._slots:
            self._kill(slot)

    def busy(self) -> int:
        """How many are at work."""
        return sum(slot.busy_since is not None for slot in self._slots)

    def pids(self) -> list[int]:
        """The process ids of the environments' launchers."""
        environments = [slot.environment for slot in self._slots]
        return [one._child.pid for one in environments if one is not None]  # noqa: SLF001 - there is no other way

    def kill_at_work(self, after_s: float) -> bool:
        """SIGKILL for one that has been at work for `after_s` seconds. Whether there was one."""
        for slot in sorted(self._slots, key=lambda one: one.busy_since or 0.0):
            since = slot.busy_since
            if since is None:
                continue
            time.sleep(max(0.0, since + after_s - time.monotonic()))
            if slot.busy_since == since:
                slot.busy_since = None  # nobody is killed twice
                self._kill(slot)
                return True
        return False

    def pause_at_work(self, seconds: float) -> bool:
        """Stop one that is at work for a while, as a host that hangs would. Whether there was one."""
        for slot in self._slots:
            environment = slot.environment
            if slot.busy_since is None or environment is None:
                continue
            with contextlib.suppress(psutil.Error):
                for process in psutil.Process(environment._child.pid).children():  # noqa: SLF001 - no other way
                    process.suspend()
                    threading.Timer(seconds, _resume, [process]).start()
                    self.paused += 1
                    return True
        return False

    def settle(self, timeout_s: float, on_wait: Callable[[int], None] = lambda _: None) -> int:
        """Wait until every message is done, dead letters redriven. Gives how many are left after that time.

        As in the cloud, a message whose worker died at the last try is not among the dead letters before the
        lease is over, which the visibility time-out outlasts.
        """
        deadline = time.monotonic() + timeout_s
        queue = self._world.queue
        while time.monotonic() < deadline:
            if queue.size() == 0 and self.busy() == 0:
                if queue.dead() == 0:
                    return 0
                if time.monotonic() > self._leases_end:
                    queue.redrive()
            on_wait(queue.size())
            time.sleep(0.1)
        return queue.size() + queue.dead()

    def _on_line(self, line: str) -> None:
        self.lines.append(line)
        if '"outcome":"INDEXED"' in line:
            self.outcomes["indexed"] += 1

    @staticmethod
    def _kill(slot: _Slot) -> None:
        environment = slot.environment
        if environment is not None:
            with contextlib.suppress(OSError, ValueError):
                environment.kill()

    def _work(self, slot: _Slot) -> None:
        while not self._stopping.is_set():
            if slot.environment is None or not slot.environment.running:
                self._renew(slot)
                continue
            receipt = self._world.queue.receive()
            if receipt is None:
                time.sleep(_IDLE_S)
                continue
            slot.busy_since = started = time.monotonic()
            try:
                self._invoke(slot.environment, receipt, started)
            finally:
                slot.busy_since = None

    def _renew(self, slot: _Slot) -> None:
        self._kill(slot)
        slot.environment = None
        try:
            slot.environment = Environment(self._spec)
            slot.environment.wait_ready()
            slot.warm.set()
        except FunctionError as error:
            if not self._stopping.is_set():
                self.lines.append(f"no environment: {error}")
                time.sleep(0.2)

    def _invoke(self, environment: Environment, receipt: Receipt, started: float) -> None:
        queue = self._world.queue
        try:
            answer = json.loads(environment.invoke(json.dumps(receipt.event).encode()))
        except FunctionRaised as error:
            self.outcomes["raised"] += 1
            self.lines.append(f"the handler raised: {error}")
            queue.change_visibility(receipt.receipt, 20)
            return
        except (FunctionError, OSError, ValueError):
            self.outcomes["crashed"] += 1
            self._leases_end = time.monotonic() + self._lease_s
            with contextlib.suppress(OSError, ValueError):
                environment.kill()
            # The visibility time-out of a message whose worker is gone, made short.
            queue.change_visibility(receipt.receipt, 10)
            return
        if failed_ids(answer, {receipt.event["Records"][0]["messageId"]}):
            self.outcomes["failed"] += 1
            return
        self.outcomes["done"] += 1
        queue.acknowledge(receipt.receipt)
        self._on_done(receipt, time.monotonic() - started)
