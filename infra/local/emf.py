"""Metrics of the local stack's own parts, in the form of the AWS services that they replace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from runtime.emf import metric_line, print_line

# AWS publishes most of these metrics this often.
EVERY_S = 60.0


def print_model_hosts(*, desired: int, serving: int) -> None:
    """Print the metrics of the model hosts' auto scaling group."""
    values = {
        "GroupDesiredCapacity": desired,
        "GroupInServiceInstances": serving,
        "GroupPendingInstances": desired - serving,
        "GroupTotalInstances": desired,
    }
    print_line(metric_line("AWS/AutoScaling", {"AutoScalingGroupName": "docwell-model-hosts"}, values))


def every_minute(measure: Callable[[], None]) -> None:
    """Call `measure` now and each minute, in a daemon thread."""

    def repeat() -> None:
        while True:
            measure()
            time.sleep(EVERY_S)

    threading.Thread(target=repeat, daemon=True).start()
