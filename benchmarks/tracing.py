"""``python -m benchmarks.tracing [--starts 15]``: what OpenTelemetry in place of the X-Ray SDK would cost.

Each start is a new process. It imports what the query function imports anyway, then one tracer, and records one
span. The variants take turns, so that they share the machine's load; processor time counts, not the clock.
"""

import argparse
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path, PurePath
from statistics import median

from infra.progress import bar
from infra.report import Report

BASE = """
import time
import boto3
import httpx
from aws_lambda_powertools import Logger, Metrics
Logger(service="query"), Metrics(namespace="Docwell")
{}
print(time.process_time())
"""
VARIANTS = {
    "without a tracer": "",
    "X-Ray SDK, as now": """
from aws_lambda_powertools import Tracer
tracer = Tracer(service="query", auto_patch=False)
with tracer.provider.in_subsegment("answer"):
    pass
""",
    # The span is encoded for OTLP, as the daemon of Lambda takes it by UDP.
    "OpenTelemetry": """
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
class Daemon(SpanExporter):
    def export(self, spans):
        encode_spans(spans).SerializeToString()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Daemon()))
with provider.get_tracer("query").start_as_current_span("answer"):
    pass
""",
}
# What a change adds to the function, and removes.
_PARTS = ("api", "sdk", "semantic-conventions", "exporter-otlp-proto-common", "proto")
ADDED = (*(f"opentelemetry-{part}" for part in _PARTS), "protobuf")
REMOVED = ("aws-xray-sdk", "wrapt")
# As Lambda sets them: the X-Ray SDK does nothing elsewhere.
LAMBDA = {
    "LAMBDA_TASK_ROOT": "/var/task",
    "AWS_LAMBDA_FUNCTION_NAME": "query",
    "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
}
_KEPT = {".py", ".so", ".json", ".upb"}


def megabytes(package: str) -> float:
    """Return the size of a package's files that stay in a function (scripts/trim-packages)."""
    files = distribution(package).files or ()
    kept = (one for one in files if PurePath(one).suffix in _KEPT and "test" not in PurePath(one).parts)
    return sum(Path(one.locate()).stat().st_size for one in kept) / 1e6


def start(variant: str) -> float:
    """Return the seconds of processor time of one start."""
    command = [sys.executable, "-c", BASE.format(VARIANTS[variant])]
    done = subprocess.run(command, env=os.environ | LAMBDA, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=15)
    starts: int = parser.parse_args().starts
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    with bar("starts", starts) as step:
        for _ in range(starts):
            for variant in VARIANTS:
                seconds[variant].append(start(variant))
            step()
    report = Report("tracing")
    for variant, ones in seconds.items():
        report.add(f"processor time of a start, {variant}", median(ones) * 1000, "ms")
        report.add(f"the same, least of {starts}", min(ones) * 1000, "ms")
    for package in (*ADDED, *REMOVED):
        report.add(f"size of {package}", megabytes(package), "MB")
    change = sum(map(megabytes, ADDED)) - sum(map(megabytes, REMOVED))
    report.add("the query function, with OpenTelemetry in place of the X-Ray SDK", change, "MB")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
