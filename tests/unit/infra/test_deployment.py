"""A deployment names every parameter, and another release for any change of the build or a parameter."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from infra.container.sam import StepError
from infra.local.names import PRINCIPALS_SCHEMA
from infra.release import console, deployment, pins, preflight, stage
from tests.unit.cases import rows
from tests.unit.infra.templates import SYSTEM, content, whole


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build of a template, a layer and a function."""
    folder = tmp_path / "build"
    for name in ("DocwellLayer/python/docwell", "QueryFunction"):
        (folder / name).mkdir(parents=True)
    (folder / "template.yaml").write_text("Resources: {}\n")
    (folder / "DocwellLayer/python/docwell/answers.py").write_text("A = 1\n")
    (folder / "QueryFunction/handler.py").write_text("B = 1\n")
    return folder


STACK, APP = "docwell-team", "docwell-team-app"
PROTECTED = set[str]()


class Sam:
    """`sam deploy` on moto: a stack with its parameters, and outputs that the next steps read."""

    def __init__(self, profile: Path, build: Path) -> None:
        self.profile, self.build, self.deployed = profile, build, list[str]()
        self.outputs = {
            "AlarmTopic": boto3.client("sns").create_topic(Name="alarms")["TopicArn"],
            "UsagePlanId": boto3.client("apigateway").create_usage_plan(name="plan")["id"],
            "PrincipalsTable": "principals",
            "ModelHostGroup": "none",
        }

    def deploy(self, *options: str) -> list[str]:
        self.deployed.clear()
        deployment.deploy(self.profile.stem, options)
        return self.deployed

    def __call__(self, stack: str, _: Path, values: dict[str, str], *options: str) -> None:
        if f"--fails={stack}" in options:
            raise StepError(stack)
        if {stage.PREVIEW, f"--declined={stack}"} & {*options}:
            return
        self.deployed.append(stack)
        self.change(stack, preflight.declared(preflight.APP if stack == APP else preflight.SYSTEM), values)

    def change(self, stack: str, names: Iterable[str], values: dict[str, str]) -> None:
        outputs = dict.fromkeys(preflight.given(), stack) | self.outputs
        body = {
            "Parameters": {name: {"Type": "String"} for name in names},
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        client = boto3.client("cloudformation")
        client.delete_stack(StackName=stack)  # an update of moto keeps the parameters that a template lacks
        parameters: Any = [{"ParameterKey": name, "ParameterValue": values[name]} for name in names]
        client.create_stack(StackName=stack, TemplateBody=json.dumps(body), Parameters=parameters)


@pytest.fixture
def sam(aws: None, build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sam:
    """A profile `team`, and an account without stacks and keys."""
    monkeypatch.setattr(deployment, "PROFILES", tmp_path)
    monkeypatch.setattr(deployment, "BUILD", build)
    monkeypatch.setattr(deployment, "RELEASES", tmp_path / "release")
    monkeypatch.setattr(deployment, "package", lambda _: None)
    monkeypatch.setattr(deployment, "check", lambda *_: None)
    monkeypatch.setattr(pins, "public_parameter", lambda *_: "ami-1")
    monkeypatch.setattr(console, "publish", lambda *_: None)
    call = BaseClient._make_api_call  # type: ignore[attr-defined] # private: moto protects no stack

    def answer(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        protects = operation == "UpdateTerminationProtection"
        return PROTECTED.add(arguments["StackName"]) if protects else call(client, operation, arguments)

    PROTECTED.clear()
    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    (profile := tmp_path / "team.toml").write_text("")
    monkeypatch.setattr(stage, "_sam", sam := Sam(profile, build))
    boto3.client("dynamodb").create_table(TableName="principals", **PRINCIPALS_SCHEMA)
    return sam


def test_data_and_servers_come_first_and_only_what_changes_is_deployed(sam: Sam) -> None:
    assert sam.deploy() == [STACK, APP]
    assert {STACK, APP} == PROTECTED
    assert (stage.deployed(APP)[0] or {})["ChromaUrl"] == STACK
    (sam.build / "QueryFunction/handler.py").write_text("B = 2\n")
    assert sam.deploy() == [APP]
    sam.profile.write_text('OllamaHosts = "1,3"\nQueryConcurrency = 8\n')
    assert sam.deploy() == [STACK, APP]
    # Data and servers may give another address, from which the query function gets a version.
    releases = list[str]()
    for address, days in (("one", 60), ("one", 90), ("two", 180)):
        sam.outputs["OllamaUrl"] = address
        sam.profile.write_text(f"RetentionDays = {days}\n")
        sam.deploy()
        releases.append((stage.deployed(APP)[0] or {})["Release"])
    assert releases[0] == releases[1] != releases[2]
    assert not [*deployment.RELEASES.iterdir()]  # a later deployment of another build would publish no version


def test_a_preview_changes_nothing(sam: Sam, capsys: pytest.CaptureFixture[str]) -> None:
    assert sam.deploy(stage.PREVIEW) == []
    assert "a new stack" in capsys.readouterr().out
    assert boto3.client("secretsmanager").list_secrets()["SecretList"] == []
    sam.deploy()
    sam.profile.write_text('ModelName = "m"\n')
    before = stage.deployed(STACK), stage.deployed(APP)
    assert sam.deploy(stage.PREVIEW) == []
    assert (stage.deployed(STACK), stage.deployed(APP)) == before
    lines = capsys.readouterr().out
    assert lines.count("ModelName: 'qwen3:8b' -> 'm'") == 2
    assert "model hosts start again" in lines


def test_the_index_in_use_changes_after_a_re_index_alone(sam: Sam) -> None:
    sam.deploy()
    sam.profile.write_text('Index = "400,off,4"\n')
    with pytest.raises(StepError, match="re-index"):
        sam.deploy()
    sam.profile.write_text('NextIndex = "400,,,"\n')
    assert sam.deploy() == [APP]
    sam.profile.write_text('Index = "400,off,4"\n')
    assert sam.deploy() == [STACK, APP]


def test_the_app_of_an_older_release_moves(sam: Sam, capsys: pytest.CaptureFixture[str]) -> None:
    # One stack had the parameters of both.
    sam.change(STACK, preflight.settable(), deployment.parameters("team") | {"Release": "a" * 64})
    with pytest.raises(StepError, match=APP):
        sam.deploy(f"--fails={APP}")
    assert "the API gets another address" in capsys.readouterr().out
    assert sam.deployed == [STACK]
    assert sam.deploy() == [APP]


@pytest.mark.parametrize(("path", "kind"), rows(__file__, "kept_by_upgrades"))
def test_what_holds_data_or_an_address_stays_where_older_releases_have_it(path: str, kind: str) -> None:
    *stacks, name = path.split("/")
    template = SYSTEM
    for stack in stacks:
        template = template.parent / content(template)["Resources"][stack]["Properties"]["TemplateURL"]
    assert content(template)["Resources"][name]["Type"] == kind


@pytest.mark.parametrize("end", ["fails", "declined"])
@pytest.mark.parametrize("stack", [STACK, APP])
def test_a_stack_that_did_not_change_ends_the_deployment(sam: Sam, stack: str, end: str) -> None:
    before = [STACK, APP].index(stack)
    with pytest.raises(StepError, match=stack):
        sam.deploy(f"--{end}={stack}")
    assert sam.deployed == [STACK, APP][:before]
    assert sam.deploy() == [STACK, APP][before:]


def test_hosts_keep_the_models_of_the_version_that_answers_and_of_the_app_that_rolls_back(
    sam: Sam, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model, undone, fails, expected in rows(__file__, "model_changes"):
        answering = ("1", undone)  # the version to which an undo has pointed the alias
        monkeypatch.setattr(stage, "answering", lambda _, version=answering: version)
        sam.profile.write_text(f'ModelName = "{model}"\n')
        with contextlib.suppress(StepError):
            sam.deploy(f"--fails={fails}")
        system, app = (stage.deployed(stack)[0] or {} for stack in (STACK, APP))
        assert {app["ModelName"], undone} <= {"", system["ModelName"], *system["PreviousModel"].split(" ")}
        assert [system["ModelName"], system["PreviousModel"], app["ModelName"], len(sam.deployed)] == expected


def test_an_app_takes_the_keys_of_the_principals_that_there_are_after_a_failure_too(sam: Sam) -> None:
    gateway = boto3.client("apigateway")
    key = gateway.create_api_key(name="reader", enabled=True)["id"]
    for name in (key, "own-1", "deleted"):
        row = {"principal": {"S": f"hash:{name}"}, "item": {"S": "key"}, "key_id": {"S": name}}
        boto3.client("dynamodb").put_item(TableName="principals", Item=row)
    sam.outputs["PrincipalsTable"] = "missing"
    with pytest.raises(StepError, match="not found"):
        sam.deploy()
    sam.outputs["PrincipalsTable"] = "principals"
    sam.deploy()
    (listed,) = gateway.get_usage_plan_keys(usagePlanId=sam.outputs["UsagePlanId"])["items"]
    assert listed["id"] == key


def test_the_release_changes_with_what_the_query_function_gets_and_with_nothing_else(build: Path) -> None:
    values = deployment.parameters("team")
    digests = [deployment.digest(build, values)]
    same = values | {"Release": digests[0]} | dict.fromkeys(deployment.APART, "7")
    assert deployment.digest(build, same) == digests[0]
    reached = values.keys() - deployment.APART - {"Release", "Templates"}
    digests += [deployment.digest(build, values | {name: "7"}) for name in reached]
    for changed in ("DocwellLayer/python/docwell/answers.py", "template.yaml", "ConsoleStack.yaml"):
        path = build / changed
        path.write_text(f"{path.read_text() if path.exists() else ''}# changed\n")
        digests.append(deployment.digest(build, values))
    assert len(set(digests)) == len(digests)
    (build / "CanaryFunction").mkdir()
    (build / "CanaryFunction/handler.py").write_text("C = 1\n")
    assert deployment.digest(build, values) == digests[-1]


def test_the_query_function_gets_every_parameter_but_those_apart() -> None:
    template = whole()
    text, names = json.dumps(template["Resources"]["QueryFunction"]["Properties"]), set[str]()
    while news := {name for name in template["Conditions"] if f'"{name}"' in text} - names:
        names |= news
        text += "".join(json.dumps(template["Conditions"][name]) for name in news)
    reached = {name for name in template["Parameters"] if f'"Ref": "{name}"' in text or f"${{{name}}}" in text}
    assert set(template["Parameters"]) - reached == deployment.APART | {"Templates"}


def test_a_deployment_after_a_rollback_has_another_release_and_one_without_a_change_the_same() -> None:
    digest, earlier = "a" * 64, stage.named("b" * 64, "", 1.0)
    failed = stage.named(digest, earlier, 1_000.0)
    assert re.fullmatch("[0-9a-f]{64}", failed)
    assert len({earlier, failed, stage.named(digest, earlier, 1_001.0)}) == 3
    assert stage.named(digest, failed, 1_002.0) == failed


@pytest.mark.parametrize("profile", ["small", "team", "large", "staging"])
@pytest.mark.parametrize("alarms", [",0", "a@example.com,0"])
@pytest.mark.parametrize("subscribers", [None, 0, 1], ids=["no stack", "no subscriber", "a subscriber"])
def test_a_deployment_whose_alarms_reach_no_one_is_refused(
    aws: None, capsys: pytest.CaptureFixture[str], profile: str, alarms: str, subscribers: int | None
) -> None:
    outputs = {}
    if subscribers is not None:
        outputs["AlarmTopic"] = boto3.client("sns").create_topic(Name="alarms")["TopicArn"]
        for _ in range(subscribers):
            boto3.client("sns").subscribe(TopicArn=outputs["AlarmTopic"], Protocol="sms", Endpoint="+4900000000")
    reaches = bool(subscribers) or alarms != ",0"
    with contextlib.nullcontext() if reaches or profile == "small" else pytest.raises(StepError, match=profile):
        stage.heard(profile, {"Alarms": alarms}, outputs)
    assert ("warning" in capsys.readouterr().out) is (profile == "small" and not reaches)


@pytest.mark.parametrize(("live", "previous", "left"), rows(__file__, "versions"), ids=str)
def test_the_live_version_and_the_one_that_answered_before_it_are_left(
    aws: None, live: int, previous: str, left: list[int]
) -> None:
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client = boto3.client("lambda")
    code: Any = {"Code": {"ZipFile": b""}, "Handler": "h.h", "Runtime": "python3.13", "Role": role}
    client.create_function(FunctionName="query", **code)
    for number in range(6):
        settings = {"DOCWELL_MODEL": f"model {number + 1}"}
        client.update_function_configuration(FunctionName="query", Environment={"Variables": settings})
        client.publish_version(FunctionName="query")
    client.create_alias(FunctionName="query", Name="live", FunctionVersion=str(live))
    assert stage.answering("query") == (str(live), f"model {live}")
    stage.prune("query", previous)
    versions = client.list_versions_by_function(FunctionName="query")["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", *map(str, left)]


@pytest.mark.parametrize(("given", "postpone", "images"), rows(__file__, "patches"))
def test_patches_reach_the_servers_unless_they_are_postponed(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], postpone: str, images: str
) -> None:
    monkeypatch.setenv("POSTPONE", postpone)
    monkeypatch.setattr(pins, "public_parameter", lambda _, name: name.split("/")[3])
    assert deployment.machine_images(given, "ami-1,ami-2") == images


CASES = tomllib.loads(Path(__file__).with_name("parameters.toml").read_text())


@pytest.mark.parametrize(
    ("changed", "refused"), [(row["given"], row["refused"]) for row in CASES["volumes"]], ids=str
)
def test_a_volume_change_that_ec2_cannot_make_is_refused(changed: dict[str, str], refused: list[str]) -> None:
    assert stage.volume_changes(CASES["deployed"], CASES["deployed"] | changed) == refused


@pytest.mark.parametrize("row", CASES["losses"], ids=str)
def test_a_deployment_does_not_lose_what_an_earlier_one_put_in_place(row: dict[str, Any]) -> None:
    problems = [*stage.refusal("team", row["before"], row["after"])]
    assert all(problem.startswith(row["says"]) for problem in problems)
    assert len(problems) == bool(row["says"])


@pytest.mark.parametrize("row", CASES["placed"], ids=str)
def test_a_network_stays_in_its_zones_whatever_the_order_of_the_regions(aws: None, row: dict[str, Any]) -> None:
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.72.0.0/16")["Vpc"]["VpcId"]
    for number, zone in row["subnets"]:
        place: Any = {"CidrBlock": f"10.72.{number}.0/24", "AvailabilityZone": zone}
        tags: Any = [{"Key": "Name", "Value": f"{STACK}-ServersStack-1-NetworkStack-2 servers {number}"}]
        ec2.create_subnet(VpcId=vpc, TagSpecifications=[{"ResourceType": "subnet", "Tags": tags}], **place)
    for text in row["given"]:
        assert stage.placed(STACK, {"Network": row["network"], "ServerZone": text})["ServerZone"] == row["zones"]
