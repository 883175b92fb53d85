"""After every failure of a deployment, of every profile, the next one can succeed, and its cause is printed."""

from __future__ import annotations

import tomllib
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from infra.container.sam import ROOT, StepError
from infra.release import deployment, stage

FAILURES = tomllib.loads(Path(__file__).with_name("failures.toml").read_text())["failure"]
BEGUN = datetime(2026, 12, 1, tzinfo=UTC)
DOCS = (ROOT / "docs/operate/deploy.md").read_text()


class Account:
    """An account with one stack that failed."""

    def __init__(self, stack: str, row: dict[str, Any]) -> None:
        self.stack, self.row, self.status, self.calls = stack, row, row["status"], list[str]()

    def answer(self, operation: str, arguments: Any) -> Any:
        match operation:
            case "DescribeStacks" if self.status:
                return {"Stacks": [{"StackName": self.stack, "StackStatus": self.status}]}
            case "DescribeStacks":
                error = {"Error": {"Code": "ValidationError", "Message": f"{self.stack} does not exist"}}
                raise ClientError(error, operation)  # type: ignore[arg-type]
            case "DeleteStack" | "ContinueUpdateRollback":
                self.calls.append(operation)
                self.status = self.row.get("then")
                return {}
            case "DescribeStackEvents":
                return {"StackEvents": list(map(self.event, self.events(arguments["StackName"])))}
            case "DescribeLogGroups":
                return {"logGroups": [{"logGroupName": f"{self.stack}-ServersStack-1-HostLogGroup-2"}]}
        assert operation == "FilterLogEvents"
        return {"events": [{"message": line} for line in self.row.get("boot", [])]}

    def events(self, stack: str) -> list[list[str]]:
        name = "root" if stack == self.stack else stack
        begun = [name, "itself", "UPDATE_IN_PROGRESS", "User Initiated"]
        earlier = [name, "Queue", "UPDATE_FAILED", "of an operation before"]
        return [*(event for event in self.row["events"] if event[0] == name), begun, earlier]

    @staticmethod
    def event(parts: list[str]) -> dict[str, Any]:
        stack, resource, status, reason = parts
        nested = resource if resource.endswith("Stack") else f"id of {resource}"
        return {
            "StackId": stack,
            "StackName": stack,
            "LogicalResourceId": resource,
            "PhysicalResourceId": stack if resource == "itself" else nested,
            "ResourceType": "AWS::CloudFormation::Stack" if resource.endswith("Stack") else "AWS::SQS::Queue",
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "Timestamp": BEGUN,
        }


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row["case"])
@pytest.mark.parametrize("profile", sorted(path.stem for path in deployment.PROFILES.glob("*.toml")))
def test_a_failed_deployment_says_why_and_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch, profile: str, row: dict[str, Any]
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    stack = deployment.stack_name(profile)
    account = Account(stack, row)
    with patch.object(BaseClient, "_make_api_call", account.answer):
        lines = "\n".join(stage.why(stack, BEGUN))
        assert stage.failures(stack, BEGUN + timedelta(seconds=1)) == []
        assert row["prints"] in lines
        assert "of an operation before" not in lines
        assert "cancelled" not in lines
        with pytest.raises(StepError, match=row["refused"]) if "refused" in row else nullcontext():
            stage.settle(stack)
    assert account.calls == row["calls"]
    assert row["docs"] in DOCS
