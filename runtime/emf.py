"""Metrics in CloudWatch's embedded metric format (EMF), as functions print them.

The runtime prints the metrics of Lambda and API Gateway under the same names.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping


def metric_line(namespace: str, dimensions: Mapping[str, str], values: Mapping[str, float]) -> str:
    """Return one line of output with these metrics."""
    directive = {
        "Namespace": namespace,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name} for name in values],
    }
    timestamp = int(time.time() * 1000)
    return json.dumps({"_aws": {"Timestamp": timestamp, "CloudWatchMetrics": [directive]}, **dimensions, **values})


def print_line(line: str) -> None:
    """Print a line in one write, so that the lines of two threads never mix."""
    print(f"{line}\n", end="", flush=True)
