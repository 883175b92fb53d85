"""Whether each graph of the dashboard has data, for `make up OBSERVE=1`."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from infra.dashboards.alert_rules import WITHOUT_SOURCE
from infra.dashboards.contents import SECTIONS
from infra.dashboards.parts import Graph, Line
from infra.dashboards.promql import queries_of
from infra.local.console import StackConsole
from infra.local.prometheus import SCRAPE_S
from infra.local.stack import Stack
from runtime.exported import DOCWELL, EXPORTED

# Prometheus refuses a range of over 11,000 steps.
_MAX_STEPS = 1_000
_TIMEOUT_S = 10.0
# Metrics that an answer alone does not make.
_LATER = {"Feedback": "it needs a verdict on an answer"}


class PanelState(NamedTuple):
    """One graph: the labels of its lines without data, and the reason if one is known."""

    title: str
    missing: tuple[str, ...]
    reason: str = ""


def panel_states(client: httpx.Client, since: float) -> Iterator[PanelState]:
    """Yield each graph's state: whether each query has returned a number since that Unix time.

    The client's base is Prometheus. Raises `httpx.HTTPError` if it does not answer, or rejects a query.
    """
    now = time.time()
    step = max(1, math.ceil((now - since) / _MAX_STEPS))

    def has_data(expression: str) -> bool:
        span = {"query": expression, "start": str(since), "end": str(now), "step": str(step)}
        answer = client.get("/api/v1/query_range", params=span).raise_for_status().json()
        points = (point for series in answer["data"]["result"] for point in series["values"])
        return any(math.isfinite(float(value)) for _, value in points)

    for panel in (panel for section in SECTIONS for panel in section.panels if isinstance(panel, Graph)):
        missing = tuple(label for label, expression in queries_of(panel).items() if not has_data(expression))
        yield PanelState(panel.title, missing, _reason(panel) if missing else "")


def _reason(panel: Graph) -> str:
    lines = [line for line in panel.lines if isinstance(line, Line) and line.metric.namespace == DOCWELL]
    reasons: dict[str, Any] = WITHOUT_SOURCE | _LATER
    return next((reasons[line.metric.name] for line in lines if line.metric.name in reasons), "")


def report_panels(stack: Stack, console: StackConsole, since: float) -> None:
    """Wait for the first answer, then print for each graph whether its queries have returned data."""
    first = EXPORTED[DOCWELL, "QueryLatency"].name
    answered = re.compile(rf"^{first}_count\S* [1-9]", re.MULTILINE)
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
        try:
            while not answered.search(client.get(f"{stack.metrics}/metrics").text):
                time.sleep(SCRAPE_S)
            # The next scheduled pass may be minutes away.
            stack.client("lambda").invoke(
                FunctionName=stack.reconcile_function, Payload=b'{"action": "reconcile"}'
            )
            time.sleep(2 * SCRAPE_S)
            client.base_url = httpx.URL(stack.prometheus)
            states = list(panel_states(client, since))
        except (BotoCoreError, ClientError, httpx.HTTPError) as error:
            console.say(f"the panels of the dashboard cannot be checked: {error}", "yellow")
            return
    full = sum(not state.missing for state in states)
    console.say(f"\n{full} of {len(states)} graphs of the dashboard have data:", "bold")
    for state in states:
        reason = f" ({state.reason})" if state.reason else ""
        result = f"no data for {', '.join(state.missing)}{reason}" if state.missing else "data"
        console.say(f"  {state.title}: {result}")
