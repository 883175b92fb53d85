"""Prometheus over the local stack's metrics, and the check that each panel of the dashboard has data."""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from infra.dashboards.alert_rules import WITHOUT_SOURCE
from infra.dashboards.contents import SECTIONS
from infra.dashboards.parts import Graph, Line
from infra.dashboards.promql import queries_of
from infra.local.keys import private_folder, write_private
from infra.local.names import ROOT
from runtime.exported import DOCWELL, EXPORTED

if TYPE_CHECKING:
    from infra.local.console import StackConsole
    from infra.local.stack import Stack

PROGRAM = "prometheus"
RULES = ROOT / "infra" / "prometheus" / "alerts.yaml"
SCRAPE_S = 5
# The most disk for the figures of some weeks.
_MOST_DISK = "512MB"
# Prometheus refuses a range of over 11,000 steps.
_MOST_STEPS = 1_000
_TIMEOUT_S = 10.0
# Metrics that an answer alone does not make.
_LATER = {"Feedback": "it needs a verdict on an answer"}


def installed() -> bool:
    """Return whether Prometheus is on the PATH."""
    return shutil.which(PROGRAM) is not None


def prometheus_command(metrics: str, own: str, folder: Path, scrape_s: int = SCRAPE_S) -> list[str]:
    """Write the settings into the folder, and return the command that serves at the address `own`."""
    settings = {
        "global": {"scrape_interval": f"{scrape_s}s", "evaluation_interval": "1m"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "docwell", "static_configs": [{"targets": [metrics.removeprefix("http://")]}]}
        ],
    }
    path = private_folder(folder) / "prometheus.yml"
    write_private(path, json.dumps(settings, indent=1) + "\n")  # JSON is YAML, too
    return [
        PROGRAM,
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.size={_MOST_DISK}",
        f"--web.listen-address={own.removeprefix('http://')}",
        # By default, pages of every origin may read the answers.
        f"--web.cors.origin={own}",
        "--log.level=error",
    ]


@dataclass(frozen=True)
class PanelState:
    """One graph: the labels of its lines without data, and the reason if one is known."""

    title: str
    missing: tuple[str, ...]
    reason: str = ""


def panel_states(client: httpx.Client, since: float) -> Iterator[PanelState]:
    """Yield each graph's state: whether each query has returned a number since that Unix time.

    The client's base is Prometheus. Raises `httpx.HTTPError` if it does not answer, or rejects a query.
    """
    now = time.time()
    step = max(1, math.ceil((now - since) / _MOST_STEPS))

    def has_data(expression: str) -> bool:
        span = {"query": expression, "start": str(since), "end": str(now), "step": str(step)}
        return _has_number(client.get("/api/v1/query_range", params=span).raise_for_status().json())

    for panel in (one for section in SECTIONS for one in section.panels if isinstance(one, Graph)):
        missing = tuple(label for label, expression in queries_of(panel).items() if not has_data(expression))
        yield PanelState(panel.title, missing, _reason(panel) if missing else "")


def say_panels(stack: Stack, console: StackConsole, since: float) -> None:
    """Wait for the first answer, then say of each graph whether its queries have returned data."""
    first = EXPORTED[DOCWELL, "QueryLatency"].name
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
        try:
            while not re.search(
                rf"^{first}_count\S* [1-9]", client.get(f"{stack.metrics}/metrics").text, re.MULTILINE
            ):
                time.sleep(SCRAPE_S)
            # Its next pass may be minutes away.
            stack.client("lambda").invoke(
                FunctionName=stack.reconcile_function, Payload=b'{"action": "reconcile"}'
            )
            time.sleep(2 * SCRAPE_S)
            client.base_url = httpx.URL(stack.prometheus)
            states = list(panel_states(client, since))
        except (BotoCoreError, ClientError, httpx.HTTPError) as error:
            console.say(f"the panels of the dashboard cannot be checked: {error}", "yellow")
            return
    full = sum(not one.missing for one in states)
    console.say(f"\n{full} of {len(states)} graphs of the dashboard have data:", "bold")
    for one in states:
        reason = f" ({one.reason})" if one.reason else ""
        console.say(
            f"  {one.title}: " + (f"no data for {', '.join(one.missing)}{reason}" if one.missing else "data")
        )


def _has_number(answer: dict[str, Any]) -> bool:
    points = (point for one in answer["data"]["result"] for point in one["values"])
    return any(math.isfinite(float(value)) for _, value in points)


def _reason(panel: Graph) -> str:
    named = [line.metric for line in panel.lines if isinstance(line, Line) and line.metric.namespace == DOCWELL]
    reasons = WITHOUT_SOURCE | _LATER
    return next((reasons[one.name] for one in named if one.name in reasons), "")
