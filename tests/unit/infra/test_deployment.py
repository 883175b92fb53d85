"""A deployment names every parameter, and another release for any change of the build or a parameter."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml  # type: ignore[import-untyped] # ships no types
from moto import mock_aws

from infra.container.sam import StepError
from infra.release import deployment, pins, stage
from infra.release.stage import StageError
from tests.unit.cases import rows
from tests.unit.infra.templates import whole

PARAMETERS = {
    "ModelName": {"Type": "String", "Default": "small"},
    "ContextTokens": {"Type": "Number", "Default": 4096},
    "OllamaHosts": {"Type": "String", "Default": "1,2"},
    "OllamaNight": {"Type": "String", "Default": ""},
    "Release": {"Type": "String", "Default": ""},
}
BUILT = {"Parameters": PARAMETERS, "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build of one template, a layer and a function."""
    folder = tmp_path / "build"
    for name in ("DocwellLayer/python/docwell", "QueryFunction"):
        (folder / name).mkdir(parents=True)
    (folder / "template.yaml").write_text(yaml.safe_dump(BUILT))
    (folder / "DocwellLayer/python/docwell/answers.py").write_text("A = 1\n")
    (folder / "QueryFunction/handler.py").write_text("B = 1\n")
    return folder


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the profile `mine`."""
    monkeypatch.setattr(deployment, "PROFILES", tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text('OllamaHosts = "2,4"\nOllamaNight = "0 19 * * *;0 7 * * 1-5;Etc/UTC"\n')
    return path


def test_a_deployment_names_every_parameter_of_the_template(build: Path, profile: Path, tmp_path: Path) -> None:
    deployment.write("mine", build, tmp_path / "release")
    values = tomllib.loads((tmp_path / "release" / "mine.toml").read_text())
    assert set(values) == set(PARAMETERS)
    assert values["OllamaHosts"] == "2,4"
    assert (values["ModelName"], values["ContextTokens"]) == ("small", "4096")
    assert len(bytes.fromhex(values["Release"])) == 32


@pytest.mark.parametrize(
    ("fails", "options", "count"),
    [("build", [], 2), ("deploy", [], 4), (None, [], 5), (None, ["--no-execute-changeset"], 4)],
)
def test_a_deployment_publishes_the_executed_build_and_leaves_no_parameters_to_a_later_one(
    build: Path,
    profile: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: str | None,
    options: list[str],
    count: int,
) -> None:
    written = tmp_path / "release" / "team.toml"
    (tmp_path / "team.toml").write_text("")
    recorded = []

    def sam(command: str, *_: str, **__: str) -> None:
        recorded.append((command, written.exists()))
        if command == fails:
            raise StepError(command)

    monkeypatch.setattr(deployment, "BUILD", build)
    monkeypatch.setattr(deployment, "RELEASES", written.parent)
    monkeypatch.setattr(deployment, "environment", lambda *_: None)
    monkeypatch.setattr(deployment, "_sam", sam)

    def step(name: str, path: Path) -> dict[str, str]:
        recorded.append((name, path.exists()))
        return stage.read(path)

    monkeypatch.setattr(stage, "settle", lambda _: None)
    monkeypatch.setattr(stage, "why", lambda *_: iter(["because"]))
    monkeypatch.setattr(deployment, "check", lambda *_: recorded.append(("check", written.exists())))
    monkeypatch.setattr(stage, "before", lambda _, path, **__: step("before", path))
    monkeypatch.setattr(stage, "after", lambda _, path: step("after", path))
    with contextlib.suppress(StepError), mock_aws():
        deployment.deploy("team", options)
    # The stack names its secrets, so they come first, and the console needs the names of what it creates.
    steps = [("check", False), ("build", False), ("before", True), ("deploy", True), ("after", True)]
    assert recorded == steps[:count]
    assert not written.exists()


def test_the_release_changes_with_what_the_query_function_gets_and_with_nothing_else(
    build: Path, profile: Path
) -> None:
    values = deployment.parameters("mine", build)
    digests = [deployment.digest(build, values)]
    same = values | {"Release": digests[0]} | dict.fromkeys(deployment.APART, "7")
    assert deployment.digest(build, same) == digests[0]
    digests += [deployment.digest(build, values | {name: "7"}) for name in PARAMETERS if name != "Release"]
    for changed in ("DocwellLayer/python/docwell/answers.py", "template.yaml", "NetworkStack.yaml"):
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
    assert set(template["Parameters"]) - reached == deployment.APART


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
    with contextlib.nullcontext() if reaches or profile == "small" else pytest.raises(StageError, match=profile):
        stage.heard(profile, {"Alarms": alarms}, outputs)
    assert ("warning" in capsys.readouterr().out) is (profile == "small" and not reaches)


@pytest.mark.parametrize(
    ("count", "live", "left"), [(1, 1, [1]), (6, 6, [5, 6]), (6, 4, [3, 4]), (3, 1, [1])], ids=str
)
def test_only_the_live_version_and_the_one_before_it_are_left(
    aws: None, count: int, live: int, left: list[int]
) -> None:
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client = boto3.client("lambda")
    code: Any = {"Code": {"ZipFile": b""}, "Handler": "h.h", "Runtime": "python3.13", "Role": role}
    client.create_function(FunctionName="query", **code)
    for number in range(count):
        client.update_function_configuration(FunctionName="query", Description=str(number))
        client.publish_version(FunctionName="query")
    client.create_alias(FunctionName="query", Name="live", FunctionVersion=str(live))
    stage.prune("query")
    versions = client.list_versions_by_function(FunctionName="query")["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", *map(str, left)]


def test_a_deployment_prints_its_changes(aws: None, build: Path, profile: Path) -> None:
    values = deployment.parameters("mine", build)
    values["Release"] = deployment.digest(build, values)
    assert deployment.changes(stage.deployed("docwell-mine")[0], values) == ["a new stack"]
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    client = boto3.client("cloudformation")
    client.create_stack(StackName="docwell-mine", TemplateBody=json.dumps(BUILT), Parameters=parameters)
    deployed, _ = stage.deployed("docwell-mine")
    changed = values | {"ModelName": "large", "Release": "b" * 64}
    first, version = deployment.changes(deployed, changed)
    assert first == "ModelName: 'small' -> 'large'"
    assert "query function" in version


@pytest.mark.parametrize(("given", "postpone", "images"), rows(__file__, "patches"))
def test_patches_reach_the_servers_unless_they_are_postponed(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], postpone: str, images: str
) -> None:
    monkeypatch.setenv("POSTPONE", postpone)
    monkeypatch.setattr(pins, "public_parameter", lambda _, name: name.split("/")[3])
    assert deployment.machine_images(given, "ami-1,ami-2") == images


DEPLOYED = {
    "ChromaUrl": "",
    "ChromaPlace": "first,snap-1",
    "KmsKeyArn": "",
    "ServerZone": "a",
    "Network": "vpc-1",
    "ChromaVolumeGiB": "20",
}
CASES = tomllib.loads(Path(__file__).with_name("parameters.toml").read_text())


@pytest.mark.parametrize(
    ("changed", "refused"), [(row["given"], row["refused"]) for row in CASES["volumes"]], ids=str
)
def test_a_volume_change_that_ec2_cannot_make_is_refused(changed: dict[str, str], refused: list[str]) -> None:
    assert stage.volume_changes(DEPLOYED, DEPLOYED | changed) == refused


@pytest.mark.parametrize("row", CASES["losses"], ids=str)
def test_a_deployment_does_not_lose_what_an_earlier_one_put_in_place(row: dict[str, Any]) -> None:
    problem = stage.refusal("team", row["before"], row["after"])
    assert problem.startswith(row["says"])
    assert bool(problem) is bool(row["says"])


def test_the_functions_may_use_only_the_key_of_the_parameter() -> None:
    (policy,) = whole()["Resources"]["KeyPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert policy["Resource"] == {"Ref": "KmsKeyArn"}
