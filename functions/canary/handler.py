"""The canary function: CodeDeploy's hook before traffic reaches a new version, and a watch on a schedule."""

from __future__ import annotations

from typing import Any

from docwell.observability import logger, metrics, tracer
from docwell.upkeep.metrics import record_canary
from docwell.wiring import small_functions as wiring


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics(raise_on_empty_metrics=False)
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Tell CodeDeploy whether the new version may take traffic; for any other event, ask the live version."""
    canary, settings = wiring.canary(), wiring.canary_settings()
    if "DeploymentId" not in event:
        result = canary.watch(settings.live_version)
        record_canary(result)
        canary.remember(result)
        return {"outcome": result.name}
    passed = False
    try:
        passed = canary.allows(settings.next_version, settings.live_version)
    finally:  # without a report, CodeDeploy waits for an hour
        verdict = "Succeeded" if passed else "Failed"
        wiring.hooks()(event["DeploymentId"], event["LifecycleEventHookExecutionId"], verdict)
    return {"passed": passed}
