"""The one Logger, Metrics and Tracer. Each role has a `metrics` module that turns its reports into metrics.

Logs and metrics hold no document text and no question. Dimensions are `service` and `model` alone: each
distinct value of a dimension is a metric that AWS bills.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit, single_metric

NAMESPACE = "Docwell"

# `docwell` is also the root of the package's own loggers, so that use cases log through the standard library.
logger = Logger(service=None, logger_name="docwell", use_rfc3339=True)
metrics = Metrics(namespace=NAMESPACE)
tracer = Tracer(auto_patch=False)
# Powertools names its logger after the service, so the package's own loggers need its handler.
_package = logging.getLogger("docwell")
_package.addHandler(logger.registered_handler)
_package.setLevel(logger.log_level)
_package.propagate = False

# Listing documents has no figures of its own, and says so at each request.
warnings.filterwarnings("ignore", message="No application metrics to publish")

_environment = {"cold": True}


def record_cold_start() -> None:
    """`ColdStart` once for each execution environment (Powertools' own adds a dimension)."""
    if _environment["cold"]:
        _environment["cold"] = False
        record_alone("ColdStart", 1)


def record_alone(name: str, value: float, unit: MetricUnit = MetricUnit.Count) -> None:
    """A metric of the service as a whole. Written by itself, it gets no `model` from the question at hand:
    with it on some requests and without on others, the metric would be two to CloudWatch.
    """  # noqa: D205 - one sentence
    with single_metric(name, unit, value, namespace=NAMESPACE):
        pass


@contextmanager
def flushed() -> Iterator[None]:
    """Metrics that are added inside are written at the end: for what goes on after the handler has returned."""
    try:
        yield
    finally:
        metrics.flush_metrics()
