"""Build the canary on real parts. Factories are cached: a warm invocation reuses them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from docwell.config import CanarySettings
from docwell.upkeep.canary import Canary

if TYPE_CHECKING:
    from docwell.adapters.canary import CodeDeployHooks


@cache
def canary_settings() -> CanarySettings:
    """Return the canary function's settings. Raises `SettingsError`."""
    return CanarySettings.read()


@cache
def canary() -> Canary:
    """Return the canary."""
    from docwell.adapters.aws import client
    from docwell.adapters.canary import LambdaQueryVersions, S3CanaryBucket
    from docwell.adapters.dynamodb.ledger import DynamoState
    from docwell.query.retrieval.scope import NOTHING_INDEXED

    return Canary(
        bucket=S3CanaryBucket(client("s3"), canary_settings().bucket),
        versions=LambdaQueryVersions(client("lambda"), NOTHING_INDEXED),
        state=DynamoState(client("dynamodb", quick=True), canary_settings().ledger_table),
        document=(files("docwell.upkeep") / "canary.pdf").read_bytes(),
    )


@cache
def hooks() -> CodeDeployHooks:
    """Return CodeDeploy, which waits for the result of a hook."""
    from docwell.adapters.aws import client
    from docwell.adapters.canary import CodeDeployHooks

    return CodeDeployHooks(client("codedeploy"))
