"""Settings of the runtime itself. Those of the functions that it runs are in `docwell.config`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from docwell.config import Settings, SettingsError

# The container's cgroup: microseconds of processor time, and the period for them.
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


class PortSettings(Settings):
    """The port of health and metrics."""

    host: Annotated[str, Field(description="address to listen on; empty: all of IPv4; '::': IPv6 too")] = ""
    health_port: Annotated[int, Field(ge=0, le=65_535, description="/healthz, /readyz and /metrics; 0: none")] = (
        9090
    )


class ScrapedSettings(PortSettings):
    """`python -m runtime reconcile`."""

    # Prometheus sees the increase of a counter only between two scrapes.
    scrape_s: Annotated[
        float, Field(ge=0, le=600, description="seconds to wait for a scrape before and after the run; 0: no port")
    ] = 0.0


class ServiceSettings(PortSettings):
    """Settings of every command that runs until SIGTERM."""

    # Kubernetes kills a pod 30 s after SIGTERM (terminationGracePeriodSeconds). The remaining time is for
    # returning messages.
    grace_s: Annotated[
        float, Field(ge=1, le=3600, description="seconds for work in progress after SIGTERM; then it is stopped")
    ] = 25.0


class WorkerSettings(ServiceSettings):
    """`python -m runtime ingest`."""

    ingest_queue_url: Annotated[
        str | None, Field(description="queue to receive from; without it, DOCWELL_QUEUE_URL")
    ] = None
    # Kubernetes scales by pods. Processes of one pod share its health port and its stop.
    processes: Annotated[int, Field(ge=1, le=64, description="messages at a time")] = 1
    # As in Lambda. A range of 50 pages takes seconds; a document of one range takes minutes at most.
    timeout_s: Annotated[float, Field(ge=60, le=43_200, description="seconds for one message")] = 900.0


class StreamSettings(ServiceSettings):
    """`python -m runtime events`."""

    ledger_table: Annotated[str, Field(description="the table whose stream it reads")] = "docwell-ledger"


class ServerSettings(ServiceSettings):
    """`python -m runtime query`."""

    port: Annotated[int, Field(ge=0, le=65_535, description="the API's port")] = 8080
    # A process answers one request at a time and needs about 200 MB. An answer mostly waits for the model host.
    processes: Annotated[int, Field(ge=1, le=64, description="requests at a time")] = 4
    console_connect: Annotated[
        str | None,
        Field(description="serves the console, whose pages may connect to these hosts too; without it, none"),
    ] = None
    waiting: Annotated[int, Field(ge=0, le=1000, description="requests that may wait; the next gets 429")] = 16


def problems_of(models: Iterable[type[Settings]], **overrides: str) -> list[str]:
    """Return the problems of the environment's variables, each once. `overrides` replaces variables, by field."""
    problems: dict[str, None] = {}
    for model in models:
        try:
            model.read(**overrides)
        except SettingsError as error:
            problems |= dict.fromkeys(error.args)
    return list(problems)


def processors() -> float:
    """Return the processors that this process may use: its container's limit, else those that it may run on."""
    try:
        quota, period = _CPU_LIMIT.read_text(encoding="ascii").split()
        limit = int(quota) / int(period)
    except (OSError, ValueError):  # no cgroup version 2, or `max`: no limit
        limit = float("inf")
    # Only the affinity shows a cpuset and `taskset`; macOS has none.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(limit, float(cores))
