"""moto's CloudFormation creates the stacks of the servers and changes them to the next release."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation import parsing

from infra.container.sam import ROOT
from infra.release.credentials import ServerSecrets
from tests.unit.infra.templates import STACK, content, whole

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning"),  # `unsupported` names the types
]
CIDR, BUCKET = "10.72.0.0/16", "templates"
NETWORK = {
    "Cidr": CIDR,
    "SystemName": "docwell",
    "DocumentsBucketName": "documents",
    "TableArns": "arn:aws:dynamodb:us-east-1:111122223333:table/ledger",
    "QueueArns": "arn:aws:sqs:us-east-1:111122223333:ingest",
}
AMI = "ami-12c6146b"  # one that moto has


def template(name: str) -> dict[str, Any]:
    """A template whose nested ones are in the bucket."""
    result = content(ROOT / "infra" / f"{name}.yaml")
    for resource in result["Resources"].values():
        if resource["Type"] == STACK:
            resource["Properties"]["TemplateURL"] = address(resource["Properties"]["TemplateURL"])
    return result


def with_secrets(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """The template with its parts of secrets, which moto does not read."""

    def part(found: re.Match[str]) -> str:
        secret = boto3.client("secretsmanager").get_secret_value(SecretId=parameters[found[1]])
        return json.dumps(json.loads(secret["SecretString"])[found[2]])

    pattern = r'\{"Fn::Sub": "\{\{resolve:secretsmanager:\$\{(\w+)\}:SecretString:(\w+)\}\}"\}'
    return dict(json.loads(re.sub(pattern, part, json.dumps(template))))


def address(name: str) -> str:
    return f"https://{BUCKET}.s3.amazonaws.com/{name}"


def with_ranges(node: Any) -> Any:
    """The template with its subnets' ranges, which moto does not compute."""
    if isinstance(node, list):
        return [with_ranges(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    if "Fn::Cidr" in node:
        _, count, bits = node["Fn::Cidr"]
        return [str(subnet) for subnet in ipaddress.ip_network(CIDR).subnets(new_prefix=32 - bits)][:count]
    return {key: with_ranges(value) for key, value in node.items()}


def unsupported(name: str) -> set[str]:
    resources = whole(ROOT / "infra" / f"{name}.yaml")["Resources"]
    return {resource["Type"] for resource in resources.values()} - set(parsing.get_model_map())


class Account:
    """An account of moto. `deploy` creates a stack, or changes it."""

    def __init__(self) -> None:
        names: tuple[Any, ...] = ("cloudformation", "s3", "ec2", "autoscaling")
        self.clients: dict[str, Any] = {name: boto3.client(name) for name in names}
        self.clients["s3"].create_bucket(Bucket=BUCKET)
        for name in ("endpoints", "scaling", "snapshots"):
            self.clients["s3"].put_object(Bucket=BUCKET, Key=f"{name}.yaml", Body=json.dumps(template(name)))

    def deploy(self, name: str, **parameters: str) -> dict[str, str]:
        """Deploy a template; return the stack's resources by their names in it."""
        client = self.clients["cloudformation"]
        body = json.dumps(with_secrets(with_ranges(template(name)), parameters))
        self.clients["s3"].put_object(Bucket=BUCKET, Key=name, Body=body)
        names = {item["StackName"] for item in client.describe_stacks()["Stacks"]}
        call = client.update_stack if name in names else client.create_stack
        values = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        call(StackName=name, TemplateURL=address(name), Parameters=values)
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == ("UPDATE_COMPLETE" if name in names else "CREATE_COMPLETE")
        listed = client.describe_stack_resources(StackName=name)["StackResources"]
        return {
            entry["LogicalResourceId"]: entry["PhysicalResourceId"]
            for entry in listed
            if "PhysicalResourceId" in entry
        }

    def outputs(self, name: str) -> dict[str, str]:
        (stack,) = self.clients["cloudformation"].describe_stacks(StackName=name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def servers(self, **parameters: str) -> tuple[dict[str, str], dict[str, str]]:
        """Deploy Chroma and the model hosts into the network; return the resources of both."""
        ServerSecrets("docwell").ensure()
        network = self.outputs("network")
        shared = {
            "VpcId": network["VpcId"],
            "ClientSecurityGroupId": network["FunctionSecurityGroupId"],
            "NetworkCidr": CIDR,
            "MetricsNamespace": "Docwell/docwell",
            "ImageId": AMI,
            "ProxyScript": "proxy",
            "ProxyPolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess",
        }
        subnet = network["ServerSubnetId"]
        (result,) = self.clients["ec2"].describe_subnets(SubnetIds=[subnet])["Subnets"]
        place = {"SubnetId": subnet, "AvailabilityZone": result["AvailabilityZone"], "PublicAddress": "true"}
        release = parameters.get("Release", "1")
        chroma = self.deploy("chroma", Image=f"chroma:{release}", **place, **shared)
        hosts = {
            "OnDemandHosts": parameters.get("OnDemandHosts", ""),
            "PairName": "docwell/pair",
            "SubnetIds": network["ServerSubnetIds"],
            "Image": "ollama:1",
            "Model": f"model:{release}",
        }
        return chroma, self.deploy("ollama", **hosts, **shared)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Account()


@pytest.mark.parametrize(("internet", "zones"), [("nat", "2"), ("public", "1"), ("none", "2")])
def test_a_network_is_created(account: Account, internet: str, zones: str) -> None:
    resources = account.deploy("network", ServerInternet=internet, Zones=zones, **NETWORK)
    ec2 = account.clients["ec2"]
    of_vpc = [{"Name": "vpc-id", "Values": [resources["Vpc"]]}]
    subnets = ec2.describe_subnets(Filters=of_vpc)["Subnets"]
    assert len(subnets) == 2 + int(zones) + (internet == "nat")
    routes = {
        entry["RouteTableId"]: {route.get("DestinationCidrBlock") for route in entry["Routes"]}
        for entry in ec2.describe_route_tables(Filters=of_vpc)["RouteTables"]
    }
    assert "0.0.0.0/0" not in routes[resources["FunctionRoutes"]]
    assert ("0.0.0.0/0" in routes[resources["ServerRoutes"]]) == (internet != "none")
    assert len(account.outputs("network")["FunctionSubnetIds"].split(",")) == int(zones)


def test_the_servers_are_created_and_the_next_release_keeps_chromas_address(account: Account) -> None:
    account.deploy("network", ServerInternet="public", **NETWORK)
    chroma, hosts = account.servers()
    (server,) = account.clients["autoscaling"].describe_auto_scaling_groups(
        AutoScalingGroupNames=[chroma["Server"]]
    )["AutoScalingGroups"]
    assert server["DesiredCapacity"] == 1
    assert account.outputs("chroma")["Url"] == "https://chroma.docwell.internal"
    next_chroma, next_hosts = account.servers(Release="2")
    for name in ("Interface", "Server", "ServerSecurityGroup", "Volume"):
        assert next_chroma[name] == chroma[name], name
    assert next_hosts["Hosts"] == hosts["Hosts"]


def test_what_moto_cannot_create_is_named_in_the_documentation() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    named = set(re.findall(r"`(AWS::\w+::\w+)`", page.partition("## What is tested")[2]))
    assert named == {entry for name in ("chroma", "network", "ollama") for entry in unsupported(name)}
