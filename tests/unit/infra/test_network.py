"""The network's endpoint policies allow what the roles of the stack allow, and nothing outside the stack."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cases import rows
from tests.unit.infra.intrinsics import PSEUDO, Values
from tests.unit.infra.templates import content, whole

ROOT = Path(__file__).parents[3]
REGION, ACCOUNT, STACK = PSEUDO["AWS::Region"], PSEUDO["AWS::AccountId"], PSEUDO["AWS::StackName"]
OWN_TABLES = {f"Owns{name}" for name in ("Ledger", "Principals", "Usage", "Audit")}
HOLDING = {"KeepsReceipts", "HasReceipts", "Recognises", "HasOcrQueue", "ReadsScans", "HasModelsUri"}
CONDITIONS = frozenset({*HOLDING, *OWN_TABLES})
MODELS = "s3://models-of-the-company/ollama"
# Lambda's pollers make these calls from outside the VPC.
POLLERS = {"sqs:ReceiveMessage", "sqs:DeleteMessage"}
PATTERNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{name}}",
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{{name}}",
}


# What an endpoint of S3 must let through for the servers: the repositories of Amazon Linux and of images.
PUBLIC = {f"al2023-repos-{REGION}-de612dc2", f"prod-{REGION}-starport-layer-bucket", "docker-images-prod"}


def main_values(main: dict[str, Any]) -> Values:
    """The template's names with the ARNs that CloudFormation would give them."""
    names: dict[str, Any] = {name: parameter.get("Default") for name, parameter in main["Parameters"].items()}
    names["OllamaModelsUri"] = MODELS
    for logical, resource in main["Resources"].items():
        pattern = PATTERNS.get(resource["Type"], f"arn:aws:any:{REGION}:{ACCOUNT}:{{name}}")
        name = Values(names).of(resource.get("Properties", {}).get("BucketName", f"{STACK}-{logical}"))
        names |= {logical: name, f"{logical}.Arn": pattern.format(name=name)}
    return Values(names, CONDITIONS)


def endpoint_policies() -> dict[str, list[dict[str, Any]]]:
    """The statements of each endpoint by its service."""
    main, network = whole(), whole(ROOT / "infra" / "network.yaml")
    parameters = main_values(main).of(main["Resources"]["NetworkStack"]["Properties"]["Parameters"])
    for name, parameter in network["Parameters"].items():
        if parameter["Type"] == "CommaDelimitedList":
            parameters[name] = parameters[name].split(",")
    values = Values({name: name for name in network["Resources"]} | parameters, CONDITIONS)
    parts = [part for part in network["Resources"].values() if part["Type"] == "AWS::EC2::VPCEndpoint"]
    endpoints = [values.of(part["Properties"]) for part in parts]
    return {
        str(endpoint["ServiceName"]).split(".", 3)[3]: endpoint["PolicyDocument"]["Statement"]
        for endpoint in endpoints
    }


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def allows(statements: list[dict[str, Any]], action: str, resource: str) -> bool:
    return any(
        any(fnmatchcase(action, pattern) for pattern in listed(statement["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"]))
        for statement in statements
    )


def role_calls() -> Iterator[tuple[str, str, str]]:
    """(role, action, resource) of every call of the functions, and of S3 by the model hosts."""
    main = whole()
    values = main_values(main)
    roles = [(values, "", main, name) for name in ("IngestRole", "QueryRole", "ReconcileRole")]
    ollama = content(ROOT / "infra/ollama.yaml")
    names = {name: name for name in [*ollama["Resources"], "PrivateName", "MetricsNamespace"]}
    names |= {f"{name}.Arn": name for name in names} | {"ModelsUri": MODELS}
    roles.append((Values(names, CONDITIONS), "s3:", ollama, "HostRole"))
    for defaults, prefix, stack, role in roles:
        for policy in stack["Resources"][role]["Properties"]["Policies"]:
            for statement in defaults.of(policy["PolicyDocument"]["Statement"]):
                for action in listed(statement["Action"]):
                    if action.startswith(prefix) and action not in POLLERS:
                        yield from ((role, action, resource) for resource in listed(statement["Resource"]))


def test_the_endpoints_let_every_call_of_a_role_through() -> None:
    policies = endpoint_policies()
    calls = list(role_calls())
    assert len({role for role, _, _ in calls}) == 4
    for role, action, resource in calls:
        service = action.partition(":")[0]
        assert allows(policies[service], action, resource), f"{role}: {action} on {resource}"


@pytest.mark.parametrize(("service", "action", "resource"), rows(__file__, "foreign_calls"))
def test_an_endpoint_reaches_no_other_bucket_table_or_queue(service: str, action: str, resource: str) -> None:
    assert not allows(endpoint_policies()[service], action, resource)


@pytest.mark.parametrize(("internet", "reaches"), [("nat", True), ("public", True), ("none", False)])
def test_functions_have_no_route_to_the_internet_and_servers_only_a_chosen_one(
    internet: str, reaches: bool
) -> None:
    network = content(ROOT / "infra/network.yaml")
    names = {name: parameter.get("Default", "") for name, parameter in network["Parameters"].items()}
    holding = Values(names | {"ServerInternet": internet}).holding(network["Conditions"])
    open_tables = {
        resource["Properties"]["RouteTableId"]["Ref"]
        for resource in network["Resources"].values()
        if resource["Type"] == "AWS::EC2::Route" and resource["Condition"] in holding
    }
    assert "FunctionRoutes" not in open_tables
    assert ("ServerRoutes" in open_tables) is reaches


def test_an_endpoint_takes_only_this_accounts_credentials() -> None:
    for service, statements in endpoint_policies().items():
        assert statements, service
        for statement in statements:
            if (
                service == "s3"
                and {arn.split(":::")[1].split("/")[0] for arn in listed(statement["Resource"])} == PUBLIC
            ):
                assert listed(statement["Action"]) == ["s3:GetObject"]
                continue
            assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}, service
