"""Workers: the real ingest handler in execution environments, which the suite kills while they work."""

import contextlib
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

import psutil

from benchmarks.doors import until, workers_of
from benchmarks.faults.delivery import Receipt
from benchmarks.faults.world import World
from docwell.ingest.events import parse
from docwell.models import Hint
from infra.local.stack import StackOptions
from runtime.functions import Environment, FunctionError, FunctionRaised, FunctionSpec
from runtime.poller import failed_ids

_HANDLER = StackOptions.ingest_handler
_IDLE_S = 0.02
_WARM_S = 120.0
# Many times the time that a short document takes.
_TIMEOUT_S = 90.0
# The environment variable that tells the workers' processes apart.
_SLOT = "DOCWELL_FAULTS_SLOT"


@dataclass
class _Slot:
    """One worker: its environment, and the time since which it is at work."""

    name: str
    environment: Environment | None = None
    busy_since: float | None = None
    warm: threading.Event = field(default_factory=threading.Event)

    def kill(self) -> None:
        if self.environment is not None:
            with contextlib.suppress(OSError, ValueError):
                self.environment.kill()

    def kill_if_at_work(self, since: float) -> bool:
        """Kill the worker if it still works on the message that it received at `since`."""
        if self.busy_since != since:
            return False
        self.busy_since = None  # else a second call kills it too
        self.kill()
        return True


class Workers:
    """Workers that read the world's queue; a context manager that waits for all to be warm, and ends them."""

    def __init__(self, world: World, count: int, environment: dict[str, str]) -> None:
        """Start them."""
        self.outcomes: Counter[str] = Counter()
        self.lines: deque[str] = deque(maxlen=4000)
        # The seconds after which the worker that receives a message is killed; None lets it live.
        self.doom: Callable[[Receipt], float | None] = lambda _: None
        self._world = world
        self._lease_s = float(environment["DOCWELL_LEASE_S"])
        self._leases_end = 0.0  # of the workers that died
        self._spec = FunctionSpec(
            _HANDLER, environment, timeout_s=_TIMEOUT_S, init_timeout_s=_WARM_S, on_line=self.lines.append
        )
        self._stopping = threading.Event()
        self._slots = [_Slot(f"{number}") for number in range(count)]
        self._threads = [threading.Thread(target=self._work, args=(slot,), daemon=True) for slot in self._slots]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        until(lambda: all(slot.warm.is_set() for slot in self._slots), _WARM_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for slot in self._slots:
            slot.kill()
        for slot, thread in zip(self._slots, self._threads, strict=True):
            thread.join(10)
            slot.kill()

    def busy(self) -> int:
        return sum(slot.busy_since is not None for slot in self._slots)

    def processes(self) -> list[psutil.Process]:
        return workers_of(psutil.Process(), _HANDLER)

    def kill_at_work(self, after_s: float) -> bool:
        """Kill a worker that has been at work for `after_s` seconds. Return whether there was one."""
        for slot in sorted(self._slots, key=lambda slot: slot.busy_since or 0.0):
            if (since := slot.busy_since) is not None:
                time.sleep(max(0.0, since + after_s - time.monotonic()))
                if slot.kill_if_at_work(since):
                    return True
        return False

    def pause_at_work(self, seconds: float) -> bool:
        """Stop a worker at work for a while, as a host that hangs would. Return whether there was one."""
        busy = {slot.name for slot in self._slots if slot.busy_since is not None}
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_SLOT) in busy:
                    process.suspend()
                    threading.Timer(seconds, _resume, [process]).start()
                    self.outcomes["paused"] += 1
                    return True
        return False

    def settle(self, timeout_s: float, on_wait: Callable[[int], None] = lambda _: None) -> int:
        """Wait until every message is done, and redrive parked ones. Return how many are left after that time.

        A parked message waits until the lease of a worker that died has ended, as the visibility timeout ensures
        in the cloud.
        """
        queue = self._world.queue

        def is_settled() -> bool:
            on_wait(queue.size())
            if queue.size() or self.busy():
                return False
            if queue.parked() and time.monotonic() > self._leases_end:
                queue.redrive()
            return queue.size() + queue.parked() == 0

        return 0 if until(is_settled, timeout_s, 0.1) else queue.size() + queue.parked()

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
            if (after_s := self.doom(receipt)) is not None:
                threading.Timer(after_s, slot.kill_if_at_work, [started]).start()
            try:
                self._invoke(slot.environment, receipt, started)
            finally:
                slot.busy_since = None

    def _renew(self, slot: _Slot) -> None:
        slot.kill()
        slot.environment = None
        try:
            spec = replace(self._spec, environment={**self._spec.environment, _SLOT: slot.name})
            slot.environment = Environment(spec)
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
            self.lines.append(f"the handler raised: {error}")
            queue.change_visibility(receipt.id, 20)
            return
        except (FunctionError, OSError, ValueError):
            self.outcomes["crashed"] += 1
            self._leases_end = time.monotonic() + self._lease_s
            with contextlib.suppress(OSError, ValueError):
                environment.kill()
            # Redeliver the message of a dead worker after a short visibility timeout.
            queue.change_visibility(receipt.id, 10)
            return
        if failed_ids(answer, {receipt.id}):
            self.outcomes["failed"] += 1
            return
        for message in parse(receipt.body):
            if isinstance(message, Hint):
                with self._world.lock:
                    self._world.served.setdefault(message.key, []).append((started, time.monotonic()))
        queue.acknowledge(receipt.id)


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.resume()
