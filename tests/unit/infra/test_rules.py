"""The template's rules and patterns refuse what cannot work before a deployment begins, and nothing else."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.container.sam import ROOT
from infra.release import preflight
from tests.unit.infra.intrinsics import Values
from tests.unit.infra.templates import APP, SYSTEM, content

PROFILES = sorted((ROOT / "infra" / "parameters").glob("*.toml"))
EACH_PROFILE = pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
CASES = tomllib.loads(Path(__file__).with_name("parameters.toml").read_text())


def broken(given: Mapping[str, str]) -> set[str]:
    """The rules that refuse these parameters, beside the defaults and a release."""
    defaults = {name: str(parameter["Default"]) for name, parameter in preflight.settable().items()}
    values = defaults | {"Release": "a" * 64} | dict(given)
    return {name for root in (APP, SYSTEM) for name, _ in preflight.broken(root, values)}


@pytest.mark.parametrize("row", CASES["allowed"] + CASES["refused"], ids=lambda row: row["case"])
def test_the_rules_refuse_what_cannot_work_and_nothing_else(row: dict[str, Any]) -> None:
    assert broken(row["given"]) == ({row["rule"]} if "rule" in row else set())


def test_every_rule_refuses_something() -> None:
    assert {row["rule"] for row in CASES["refused"]} == {*content(APP)["Rules"], *content(SYSTEM)["Rules"]}


@pytest.mark.parametrize("name", CASES["values"])
def test_a_parameter_takes_what_works_and_nothing_else(name: str) -> None:
    declared = preflight.declared(preflight.INFRA / "servers.yaml") | preflight.settable()
    values = CASES["values"][name]
    refused = {
        kind: [text for text in values[kind] if [*preflight.refused({name: text}, declared)]] for kind in values
    }
    assert refused == {"right": [], "wrong": values["wrong"]}


@pytest.mark.parametrize("row", CASES["secrets"], ids=str)
def test_the_functions_read_the_secret_of_each_server(row: dict[str, Any]) -> None:
    servers = content(SYSTEM.parent / "servers.yaml")
    names = {name: given(row).get(name, "") for name in servers["Parameters"]}
    names |= {"ProxyStack.Outputs.TokenArn": "the stack's", "OllamaStack.Outputs.Url": "of the hosts"}
    values = Values(names, Values(names).holding(servers["Conditions"]))
    outputs = ("ChromaSecretArn", "OllamaSecretArn", "OllamaUrl")
    assert [values.of(servers["Outputs"][name]["Value"]) for name in outputs] == row["outputs"]


# --- what make deploy refuses before it builds ---

QUOTAS = {
    "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 8.0),
    "L-DB2E81BA": ("Running On-Demand G and VT instances", 8.0),
    "L-3819A6DF": ("All G and VT Spot Instance Requests", 8.0),
    "L-F678F1CE": ("VPCs per Region", 7.0),
    "L-0263D0A3": ("EC2-VPC Elastic IPs", 1.0),
    "L-FE5A380F": ("NAT gateways per Availability Zone", 1.0),
}
# Networks: open to the internet, with an endpoint of S3 alone, without DNS names, behind a firewall.
NETWORKS = ("OPEN", "CLOSED", "NAMELESS", "GUARDED")
SUBNETS = {"A": "a", "A2": "a", "B": "b", "C": "c", "PUBLIC": "b"}  # their zones
SUBNETS |= {f"{name}_{zone.upper()}": zone for name in NETWORKS for zone in "ab"}
DENIED: dict[str, str] = {}  # decisions of IAM by action, others are allowed


def given(row: dict[str, Any]) -> dict[str, str]:
    """All parameters of a deployment: the row's beside the defaults, with the zones of a new network."""
    declared = preflight.settable()
    defaults = {name: str(parameter["Default"]) for name, parameter in declared.items()}
    values = defaults | {"NetworkOfStack": ""} | dict(row["given"])
    named = "zone" not in values["Network"] or values["ServerZone"]
    return values if named else values | {"ServerZone": "eu-central-1a,eu-central-1b"}


def open_to_internet(vpc: str, table: str) -> None:
    """Route a table of a network to an internet gateway, and all its tables for one range of addresses."""
    ec2 = boto3.client("ec2")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    for id_, to in ((table, "0.0.0.0/0"), *((row["RouteTableId"], "203.0.113.0/24") for row in tables)):
        ec2.create_route(RouteTableId=id_, DestinationCidrBlock=to, GatewayId=gateway)


def networks(vpc: str) -> dict[str, str]:
    """Create the networks and a security group in each; return their ids by the names of rows."""
    ec2, ids = boto3.client("ec2"), {"VPC": vpc}
    for name in NETWORKS:
        ids[name] = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for name, id_ in tuple(ids.items()):
        ec2.modify_vpc_attribute(VpcId=id_, EnableDnsHostnames={"Value": name != "NAMELESS"})
        group = ec2.create_security_group(VpcId=id_, GroupName="g", Description="g")
        ids["GROUP" if name == "VPC" else f"{name}_GROUP"] = group["GroupId"]
        (main,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [id_]}])["RouteTables"]
        table, at = main["RouteTableId"], {"VpcId": id_, "ServiceName": "com.amazonaws.eu-central-1.s3"}
        if name == "CLOSED":
            ec2.create_vpc_endpoint(VpcEndpointType="Gateway", RouteTableIds=[table], **at)
        elif name == "GUARDED":
            firewall = ec2.create_vpc_endpoint(VpcEndpointType="GatewayLoadBalancer", **at)["VpcEndpoint"]
            way = {"DestinationCidrBlock": "0.0.0.0/0", "VpcEndpointId": firewall["VpcEndpointId"]}
            ec2.create_route(RouteTableId=table, **way)
        elif name != "VPC":
            open_to_internet(id_, table)
    return ids


def named(vpc: str) -> dict[str, str]:
    """Create the things that rows name, beside subnets."""
    ec2, kms, secrets = (boto3.client(name) for name in ("ec2", "kms", "secretsmanager"))
    arm, intel = (ec2.register_image(Name=name, Architecture=name)["ImageId"] for name in ("arm64", "x86_64"))
    volume = ec2.create_volume(AvailabilityZone="eu-central-1a", Size=20)["VolumeId"]
    usable, key = (kms.create_key()["KeyMetadata"] for _ in range(2))
    kms.disable_key(KeyId=key["KeyId"])
    secret = secrets.create_secret(Name="old", SecretString="{}")["ARN"]
    secrets.delete_secret(SecretId=secret)
    acm = boto3.client("acm", region_name="us-east-1")
    return {
        **networks(vpc),
        "POOL": boto3.client("cognito-idp").create_user_pool(PoolName="people")["UserPool"]["Id"],
        "ARM": arm,
        "INTEL": intel,
        "KEY": usable["Arn"],
        "DISABLED": key["Arn"],
        "DELETED": secret,
        "SNAPSHOT": ec2.create_snapshot(VolumeId=volume)["SnapshotId"],
        "CERTIFICATE": acm.request_certificate(DomainName="other.example.com")["CertificateArn"],
    }


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    """An account with quotas for eight vCPUs of GPUs and 1,000 executions: names of rows by moto's ids."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined] # private: moto lacks both calls

    def answer(client: Any, operation: str, arguments: dict[str, str]) -> Any:
        match operation:
            case "GetServiceQuota":
                return {"Quota": dict(zip(("QuotaName", "Value"), QUOTAS[arguments["QuotaCode"]], strict=True))}
            case "GetCodeSigningConfig":
                raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, operation)
            case "GetAccountSettings":
                return {"AccountLimit": {"ConcurrentExecutions": 1000}}
            case "SimulatePrincipalPolicy":
                decisions = dict.fromkeys(arguments["ActionNames"], "allowed") | DENIED
                names = ("EvalActionName", "EvalDecision")
                return {"EvaluationResults": [dict(zip(names, pair, strict=True)) for pair in decisions.items()]}
        return call(client, operation, arguments)

    docker = subprocess.CompletedProcess([], 0, "x86_64\n")
    with (
        patch.dict("os.environ", {"AWS_DEFAULT_REGION": "eu-central-1"}),
        patch("infra.release.preflight.shutil.which", return_value="docker"),
        patch("infra.release.preflight.subprocess.run", return_value=docker),
        mock_aws(),
        patch.object(BaseClient, "_make_api_call", answer),
    ):
        ec2 = boto3.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        names = named(vpc)
        for number, (name, zone) in enumerate(SUBNETS.items()):
            place: Any = {"CidrBlock": f"10.0.{number}.0/24", "AvailabilityZone": f"eu-central-1{zone}"}
            network = names.get(name.partition("_")[0], vpc)
            names[name] = ec2.create_subnet(VpcId=network, **place)["Subnet"]["SubnetId"]
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=names["PUBLIC"])
        open_to_internet(vpc, table)
        for name in ("OPEN_A", "OPEN_B"):
            ec2.modify_subnet_attribute(SubnetId=names[name], MapPublicIpOnLaunch={"Value": True})
        yield names


@pytest.mark.parametrize("row", CASES["impossible"], ids=lambda row: row["case"])
def test_what_works_in_no_account_is_refused_with_a_sentence(row: dict[str, Any]) -> None:
    (sentence,) = preflight.impossible(given(row))
    assert row["says"] in sentence


@pytest.mark.parametrize("row", CASES["unavailable"], ids=lambda row: row["case"])
def test_what_the_account_cannot_give_is_refused_with_a_sentence(
    places: dict[str, str], row: dict[str, Any]
) -> None:
    values = {name: Template(text).safe_substitute(places) for name, text in given(row).items()}
    sentences = list(preflight.of_account(values))
    assert any(row["says"] in sentence for sentence in sentences) is bool(row["says"]), sentences
    assert len({sentence.partition(":")[0] for sentence in sentences}) == bool(row["says"]), sentences


def test_rights_that_iam_may_deny_are_a_warning(
    places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with patch.dict(DENIED, {"iam:CreateRole": "implicitDeny"}):
        assert list(preflight.of_account(given({"given": {}}))) == []
    assert "warning: IAM may deny" in capsys.readouterr().out


@pytest.mark.parametrize(("code", "value"), [("L-F678F1CE", 6.0), ("L-0263D0A3", 0.0), ("L-FE5A380F", 0.0)])
def test_only_a_new_network_needs_room_for_its_parts(places: dict[str, str], code: str, value: float) -> None:
    name = QUOTAS[code][0]
    with patch.dict(QUOTAS, {code: (name, value)}):
        (sentence,) = preflight.of_account(given({"given": {}}))
        kept = list(preflight.of_account(given({"given": {"NetworkOfStack": "two-zones"}})))
        public = list(preflight.of_account(given({"given": {"ServerInternet": "public"}})))
    assert f"over the quota '{name}', which is {value:g}." in sentence
    assert f"--quota-code {code}" in sentence
    assert (kept, bool(public)) == ([], code != "L-FE5A380F")


@EACH_PROFILE
def test_every_profile_can_be_deployed(places: dict[str, str], path: Path) -> None:
    profile = {name: str(text) for name, text in tomllib.loads(path.read_text()).items()}
    values = given({"given": profile | {"OllamaHosts": "1,2", "Architecture": "x86_64"}})
    assert [*broken(profile), *preflight.refused(profile, preflight.settable())] == []
    assert [*preflight.impossible(values), *preflight.of_account(values)] == []


@pytest.mark.parametrize("row", CASES["allowed"], ids=lambda row: row["case"])
def test_what_cannot_be_read_is_not_refused(row: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    def deny(_: Any, operation: str, __: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, operation)

    with patch.object(BaseClient, "_make_api_call", deny):
        sentences = list(preflight.of_account(given(row)))
    assert all("Docker" in sentence for sentence in sentences)
    assert "not checked" in capsys.readouterr().out


@EACH_PROFILE
def test_what_the_hosts_usually_cost_is_below_the_cost_alarm_and_the_most_above(path: Path) -> None:
    values, template = given({"given": tomllib.loads(path.read_text())}), content(APP)
    conditions = {name: template["Conditions"][name] for name in ("LimitsCost", "StopsAtNight")}
    limit = template["Resources"]["ObservabilityStack"]["Properties"]["Parameters"]["CostLimit"]
    formula = Values(values, Values(values).holding(conditions)).of(limit)
    least, most = map(int, values["OllamaHosts"].split(","))
    usual = 13 / 24 if values["OllamaNight"] else least  # a working day, where the clock stops the hosts
    price = 24 * float(values["OllamaInstance"].split(",")[1])
    assert usual * price < eval(formula, {}) < most * price  # noqa: S307 - arithmetic of the template
