"""An installation of an earlier release, before `make deploy` changes it."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from docwell.access.authorizer import Authorizer
from docwell.adapters.dynamodb.api_keys import DynamoApiKeys
from docwell.adapters.dynamodb.principals import Grant, PrincipalAdmin
from infra.container.sam import StepError
from infra.local.names import PRINCIPALS_SCHEMA
from infra.release import __main__ as release
from infra.release import deployment, restore, upgrade
from tests.unit.infra.templates import MAIN, content, whole

POOL = "arn:aws:cognito-idp:eu-central-1:111122223333:userpool/eu-central-1_AbC"
TABLE = "docwell-principals"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"UserPoolArn": POOL}, 'it is now UserPool = "ARN;CLIENT'),
        ({"UserPool": POOL}, 'write "ARN;CLIENT'),
        ({"RestoredTables": "ledger-2,,,"}, "Table.LatestStreamLabel"),
        ({"OllamaNight": "0 19 * * *;0 7 * * MON-FRI;Etc/UTC"}, "Cron expressions"),
        ({"ModelNam": "x"}, "takes no ModelNam"),
    ],
    ids=["renamed", "pool", "tables", "night", "unknown"],
)
def test_the_form_of_an_earlier_release_is_refused_with_what_to_write(given: dict[str, str], says: str) -> None:
    (line,) = upgrade.problems(given, content(MAIN)["Parameters"])
    assert says in line
    assert next(iter(given)) in line


def test_todays_parameters_are_taken() -> None:
    given = {"UserPool": f"{POOL};app", "RestoredTables": "ledger-2/stream/2026-11-25T10:00:00.123,,,"}
    assert list(upgrade.problems(given, content(MAIN)["Parameters"])) == []


DEPLOYED = {"ChromaUrl": "", "ChromaPlace": "first,snap-1", "KmsKeyArn": "", "ServerZone": "a", "Network": "vpc-1"}


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"KmsKeyArn": "arn"}, ["KmsKeyArn"]),
        ({"ServerZone": "b"}, ["ServerZone"]),
        ({"ChromaPlace": "first,snap-2"}, ["ChromaPlace"]),
        ({"ChromaPlace": "first,"}, ["ChromaPlace"]),
        ({"Network": "one-zone", "ServerZone": ""}, []),  # ServerZone counts in an own VPC alone
        ({"ModelName": "n"}, []),
        ({"ChromaPlace": "second,snap-2", "KmsKeyArn": "arn", "ServerZone": "b"}, []),  # another volume
        ({"ChromaUrl": "https://chroma", "KmsKeyArn": "arn"}, []),
    ],
)
def test_what_ec2_cannot_change_of_a_volume_is_refused(changed: dict[str, str], refused: list[str]) -> None:
    assert upgrade.volume_changes(DEPLOYED, DEPLOYED | changed) == refused
    assert upgrade.volume_changes({"ModelName": "m"}, DEPLOYED | changed) == []  # an earlier release's names


@pytest.mark.parametrize(
    ("key", "following", "refused"), [("", "a", False), ("a", "a", False), ("a", "b", True), ("a", "", True)]
)
def test_documents_do_not_lose_the_key_that_encrypted_them(key: str, following: str, refused: bool) -> None:
    before = DEPLOYED | {"ChromaUrl": "https://chroma", "KmsKeyArn": key}
    problem = upgrade.refusal("team", before, before | {"KmsKeyArn": following})
    assert ("documents keep the key" in problem) is bool(problem) is refused
    # Roles allow the functions one key alone.
    (policy,) = whole()["Resources"]["KeyPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert policy["Resource"] == {"Ref": "KmsKeyArn"}


def test_every_parameter_that_a_volume_cannot_change_by_is_known() -> None:
    resources = content(MAIN.parent / "infra" / "chroma.yaml")["Resources"]
    volumes = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::EC2::Volume"]
    # CloudFormation changes size, type and tags alone.
    assert {name for one in volumes for name in one} - {"Size", "VolumeType", "Tags", "Encrypted"} == {
        *("AvailabilityZone", "SnapshotId", "KmsKeyId"),
    }
    assert all(one["Encrypted"] is True for one in volumes)


class Installation:
    """A stack with the output of its principals' table, and one principal whose key is in API Gateway alone."""

    def __init__(self) -> None:
        template: dict[str, Any] = {
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
            "Outputs": {"PrincipalsTable": {"Value": TABLE}},
        }
        boto3.client("cloudformation").create_stack(StackName="docwell-team", TemplateBody=json.dumps(template))
        self.dynamodb = boto3.client("dynamodb")
        self.dynamodb.create_table(TableName=TABLE, **PRINCIPALS_SCHEMA)
        made = boto3.client("apigateway").create_api_key(name="app", enabled=True)
        self.id, self.value = f"key:{made['id']}", made["value"]
        PrincipalAdmin(self.dynamodb, TABLE).add(Grant(self.id, None, None, None, "app"))

    def caller(self) -> str:
        found = Authorizer(DynamoApiKeys(self.dynamodb, TABLE)).identify([("x-api-key", self.value)])
        return str(found.identity.id)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of what a command has deployed or restored, without doing so."""
    done: list[str] = []
    monkeypatch.setattr(deployment, "deploy", lambda profile, _: done.append(f"deploy {profile}"))

    def restored(what: str, *_: object) -> dict[str, str]:
        done.append(f"restore {what}")
        return {"RestoredTables": f",{TABLE},,"}

    monkeypatch.setattr(restore, "restore", restored)
    return done


def command(name: str, what: str = "principals") -> None:
    release.change(Namespace(command=name, profile="team", options="", what=what, at=None))


@mock_aws
def test_a_key_of_an_earlier_release_is_valid_before_the_new_authorizer_is_deployed(
    calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    installation = Installation()
    command("deploy")
    assert calls == ["deploy team"]
    assert capsys.readouterr().out == f"{installation.id}: its API key is stored\n"
    assert installation.caller() == installation.id
    command("deploy")  # the next deployment has nothing to store
    assert capsys.readouterr().out == ""


@mock_aws
def test_a_new_stack_has_no_keys(calls: list[str]) -> None:
    command("deploy")
    assert calls == ["deploy team"]


@mock_aws
def test_a_key_that_is_gone_does_not_stop_the_deployment(
    calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    installation = Installation()
    boto3.client("apigateway").delete_api_key(apiKey=installation.id.removeprefix("key:"))
    command("deploy")
    assert calls == ["deploy team"]
    assert f"{installation.id}: cannot read API key" in capsys.readouterr().out


@mock_aws
def test_a_key_that_cannot_be_read_stops_the_deployment(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Installation()
    call = vars(BaseClient)["_make_api_call"]

    def throttled(client: BaseClient, name: str, given: Any) -> Any:
        if name == "GetApiKey":
            raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, name)
        return call(client, name, given)

    monkeypatch.setattr(BaseClient, "_make_api_call", throttled)
    with pytest.raises(StepError, match="cannot be stored"):
        command("deploy")
    assert calls == []


@mock_aws
def test_a_table_that_cannot_be_read_stops_the_deployment_but_no_restoration_of_another(calls: list[str]) -> None:
    Installation().dynamodb.delete_table(TableName=TABLE)
    with pytest.raises(StepError, match="cannot be stored"):
        command("deploy")
    assert calls == []
    command("restore", "ledger")
    assert calls == ["restore ledger", "deploy team"]


@mock_aws
def test_principals_restored_as_before_an_upgrade_keep_their_keys(calls: list[str]) -> None:
    installation = Installation()
    command("restore")
    assert calls == ["restore principals", "deploy team"]
    assert installation.caller() == installation.id


def test_every_form_that_is_explained_is_a_parameter_or_was_one() -> None:
    assert set(upgrade._NOW) - set(content(MAIN)["Parameters"]) == {
        "UserPoolArn",
        "AlarmEmail",
        "BudgetPerMonth",
    }


@pytest.mark.parametrize("path", sorted(deployment.PROFILES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_profile_is_taken(path: Path) -> None:
    given = deployment.profile_parameters(path.stem)
    assert list(upgrade.problems(given, content(MAIN)["Parameters"])) == []
