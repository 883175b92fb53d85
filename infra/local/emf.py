"""Metrics of the local stack's own parts, printed in CloudWatch's embedded metric format (EMF) as functions do.

Each part prints what the AWS service in its place publishes, under the service's names.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping

# As often as AWS publishes most of these metrics.
EVERY_S = 60.0


def metric_line(namespace: str, dimensions: Mapping[str, str], values: Mapping[str, float]) -> str:
    """Return one line of output with these metrics."""
    said = {
        "Namespace": namespace,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name} for name in values],
    }
    timestamp = int(time.time() * 1000)
    return json.dumps({"_aws": {"Timestamp": timestamp, "CloudWatchMetrics": [said]}, **dimensions, **values})


def print_line(line: str) -> None:
    """Print a line in one write, so that the lines of two threads never mix."""
    print(f"{line}\n", end="", flush=True)


def print_metrics(namespace: str, dimensions: Mapping[str, str], values: Mapping[str, float]) -> None:
    """Print one line with these metrics."""
    print_line(metric_line(namespace, dimensions, values))


def print_model_hosts(*, wanted: int, serving: int) -> None:
    """Print what the auto scaling group of the model hosts publishes."""
    values = {
        "GroupDesiredCapacity": wanted,
        "GroupInServiceInstances": serving,
        "GroupPendingInstances": wanted - serving,
        "GroupTotalInstances": wanted,
    }
    print_metrics("AWS/AutoScaling", {"AutoScalingGroupName": "docwell-model-hosts"}, values)


def every_minute(measure: Callable[[], None]) -> None:
    """Call `measure` now and each minute, in a daemon thread."""

    def repeat() -> None:
        while True:
            measure()
            time.sleep(EVERY_S)

    threading.Thread(target=repeat, daemon=True).start()
