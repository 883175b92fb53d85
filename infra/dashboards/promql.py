"""CloudWatch's statistics and metric math as PromQL, in the same units, so that axes and thresholds stay."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from infra.dashboards.parts import Graph, Line, Metric
from infra.local import names
from runtime.exported import EXPORTED, Exported, Kind

# The values of dimensions on one machine, by the AWS parameter that holds them. A query without a value covers all
# values: one machine has one API, and answers of several models are added up.
_VALUES = {
    **{
        f"${{{function}FunctionName}}": f"docwell-{function.lower()}"
        for function in ("Query", "Ingest", "Reconcile", "Events")
    },
    "${QueryFunction}": "docwell-query",
    "${IngestQueueName}": names.INGEST_QUEUE,
    "${OcrQueueName}": names.OCR_QUEUE,
    "${DeadLetterQueueName}": names.DEAD_LETTER_QUEUE,
    "${LedgerTableName}": names.LEDGER_TABLE,
    "${PrincipalsTableName}": names.PRINCIPALS_TABLE,
    "${ReceiptsTableName}": names.RECEIPTS_TABLE,
}
_UNITS = {86_400: "d", 3_600: "h", 60: "m", 1: "s"}
_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Lt: "<",
}


def duration(seconds: int) -> str:
    """Return a time in the largest unit that divides it: `5m`."""
    unit = next(size for size in _UNITS if seconds % size == 0)
    return f"{seconds // unit}{_UNITS[unit]}"


def labels_of(metric: Metric) -> dict[str, str]:
    """Return the labels with one known value. Raises `KeyError` for a metric that is not exported."""
    labels = dict(EXPORTED[metric.namespace, metric.name].labels)
    values = {labels[name]: _VALUES.get(value, value) for name, value in metric.dimensions if name in labels}
    return {label: value for label, value in values.items() if not value.startswith("${")}


def query(metric: Metric, statistic: str, period: int) -> str:
    """Return the PromQL of a CloudWatch statistic over `period` seconds: one series without labels.

    Raises `KeyError` for a metric that is not exported, `ValueError` for a statistic that its kind does not have.
    """
    exported = EXPORTED[metric.namespace, metric.name]
    chosen = ",".join(f'{label}="{value}"' for label, value in labels_of(metric).items())
    selector = f"{{{chosen}}}" if chosen else ""
    value = _statistic(exported, statistic, selector, f"[{duration(period)}]")
    if exported.scale == 1 or statistic == "SampleCount":
        return value
    return f"{1 / exported.scale:g} * {value}"


def _statistic(exported: Exported, statistic: str, selector: str, window: str) -> str:
    def increase(suffix: str) -> str:
        return f"sum(increase({exported.name}_{suffix}{selector}{window}))"

    if exported.kind is Kind.GAUGE and statistic in {"Maximum", "Minimum", "Average"}:
        function = {"Maximum": "max", "Minimum": "min", "Average": "avg"}[statistic]
        return f"{function}({function}_over_time({exported.name}{selector}{window}))"
    if exported.kind is Kind.COUNTER and statistic == "Sum":
        return increase("total")
    if exported.kind in {Kind.HISTOGRAM, Kind.SUMMARY}:
        if statistic == "Sum":
            return increase("sum")
        if statistic == "SampleCount":
            return increase("count")
        if statistic == "Average":
            return f"({increase('sum')} / {increase('count')})"
    if exported.kind is Kind.HISTOGRAM and (statistic == "Maximum" or statistic.startswith("p")):
        # Use the upper bound of the bucket: a histogram has no exact maximum.
        quantile = 1.0 if statistic == "Maximum" else float(statistic[1:]) / 100
        buckets = f"sum by (le) (rate({exported.name}_bucket{selector}{window}))"
        return f"histogram_quantile({quantile:g}, {buckets})"
    raise ValueError(f"a {exported.kind} has no {statistic}: {exported.name}")


def formula(expression: str, parts: Mapping[str, str]) -> str:
    """Return metric math as PromQL. `parts` are queries by their ids.

    Raises `KeyError` for an unknown id, and `ValueError` for math beyond `+ - * / > >= <`, IF, MAX of two, FILL.
    """
    return _translated(ast.parse(expression, mode="eval").body, parts)


def _translated(node: ast.AST, parts: Mapping[str, str]) -> str:
    def inner(*nodes: ast.AST) -> list[str]:
        return [_translated(argument, parts) for argument in nodes]

    match node:
        case ast.Constant(value=int() | float() as number):
            text = f"{number}"
        case ast.Name(id=name):
            text = f"({parts[name]})"
        case (
            ast.BinOp(left=left, op=operator, right=right)
            | ast.Compare(left=left, ops=[operator], comparators=[right])
        ) if type(operator) in _OPERATORS:
            text = "({} {} {})".format(*inner(left), _OPERATORS[type(operator)], *inner(right))
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, ast.Constant() as other]):
            text = "(({} and {}) or vector({}))".format(*inner(then, condition, other))
        case ast.Call(func=ast.Name(id="FILL"), args=[value, ast.Constant() as other]):
            text = "({} or vector({}))".format(*inner(value, other))
        case ast.Call(func=ast.Name(id="MAX"), args=[ast.List(elts=[first, second])]):
            # The larger of two values, or the only one that exists.
            text = "(({0} >= {1}) or {1} or {0})".format(*inner(first, second))
        case _:
            raise ValueError(f"no PromQL for this metric math: {ast.unparse(node)}")
    return text


def queries_of(graph: Graph) -> dict[str, str]:
    """Return the queries of a graph's visible lines, by their labels."""
    queries: dict[str, str] = {}
    parts: dict[str, str] = {}
    for number, line in enumerate(graph.lines, 1):
        if isinstance(line, Line):
            parts[f"m{number}"] = query(line.metric, line.statistic, graph.period)
            if not line.hidden:
                queries[line.label] = parts[f"m{number}"]
        else:
            queries[line.label] = formula(line.expression, parts)
    return queries
