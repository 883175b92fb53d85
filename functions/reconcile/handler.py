"""The reconcile function: compares bucket, ledger and index on a schedule; re-indexes and erases on request.

Events: `{"action": "reconcile", "dry_run": false, "force": false}`, which is the default, or
`{"action": "reindex", "step": "start" | "status" | "switch" | "abort", "force": false}`, or
`{"action": "erase", "step": "check" | "flush" | "forget", "keys": [...], "prefix": null, "hint": false}`.
"""

from __future__ import annotations

from typing import Any

from docwell.observability import logger, metrics, record_cold_start, tracer
from docwell.upkeep.metrics import record_documents, record_drift
from docwell.upkeep.reconcile import Drift
from docwell.wiring import small_functions as wiring


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run the event's action, and return the data that `docwell reconcile`, `reindex` or `erase` prints."""
    record_cold_start()

    def remaining_s() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    force, dry_run = bool(event.get("force")), bool(event.get("dry_run"))
    if event.get("action") == "reindex":
        return wiring.reindex().run(str(event.get("step", "status")), remaining_s, force=force)
    if event.get("action") == "erase":
        return wiring.erase().run(event)
    reports = [use_case.run(remaining_s, dry_run=dry_run, force=force) for use_case in wiring.reconcile()]
    complete = all(report["complete"] for report in reports)
    if not dry_run:
        wiring.reindex().tidy(remaining_s)
        if complete:
            record_drift({kind: sum(report["drift"][kind] for report in reports) for kind in Drift})
            record_documents(reports[0]["documents"])  # the first report is of the active pipeline
    logger.info("reconciled", extra={"reports": [report | {"found": None} for report in reports]})
    return {"complete": complete, "pipelines": reports}
