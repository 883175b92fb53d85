"""The shared Logger, Metrics and Tracer. Each role has a `metrics` module that turns its reports into metrics.

Logs and metrics hold no document text and no question. The only dimensions are `service` and `model`: AWS bills
each distinct value of a dimension as a metric.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from functools import cache, partial

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit, single_metric

# Powertools' variable. Each stack has its namespace, so that several stacks in one account share no metric.
NAMESPACE = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Docwell")

# ASCII only: a log viewer may obey a control or bidirectional character of a key.
_ascii_json = partial(json.dumps, default=str, separators=(",", ":"))
# Name it `docwell`, the root of the package's loggers: use cases log through the standard library.
logger = Logger(service=None, logger_name="docwell", use_rfc3339=True, json_serializer=_ascii_json)
metrics = Metrics(namespace=NAMESPACE)
tracer = Tracer(auto_patch=False)
# Powertools names its logger after the service, so the package's own loggers need its handler.
_package = logging.getLogger("docwell")
_package.addHandler(logger.registered_handler)
_package.setLevel(logger.log_level)
_package.propagate = False

# Powertools warns at each request without metrics, such as a list of documents.
warnings.filterwarnings("ignore", message="No application metrics to publish")


@cache
def record_cold_start() -> None:
    """Record `ColdStart` once for each execution environment. Powertools' own metric adds a dimension."""
    record_alone("ColdStart", 1)


def record_alone(name: str, value: float) -> None:
    """Record a count of the service as a whole, without the `model` of the current question.

    If only some requests had a `model`, CloudWatch would see two metrics.
    """
    with single_metric(name, MetricUnit.Count, value, namespace=NAMESPACE):
        pass
