"""The template's rules refuse what cannot work before a deployment begins, and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cfnlint.decode import decode  # type: ignore[import-untyped] # ships no types

from docwell.query.night import Night
from infra.container.sam import ROOT
from infra.intrinsics import Values
from tests.unit.infra.templates import whole

PROFILES = sorted((ROOT / "infra" / "parameters").glob("*.toml"))
CHROMA, OLLAMA = {"ChromaUrl": "https://chroma.example"}, {"OllamaUrl": "https://ollama.example"}
ARN = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:chroma-AbCdEf"
SECRET = {"ChromaAccount": f"default_tenant,default_database,Authorization,{ARN}"}
EXISTING = {"Network": "vpc-1", "SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"}
ALLOWED: dict[str, dict[str, str]] = {
    "nothing": {},
    "an existing network": {**EXISTING, "ServerZone": "eu-central-1a"},
    "an existing network with Chroma": {**EXISTING, **CHROMA, **SECRET},
    "an existing network with Ollama": {**EXISTING, **OLLAMA, "ServerZone": "eu-central-1a"},
    "no network": {"Network": "none", **CHROMA, **OLLAMA, **SECRET},
    "servers without internet": {"ServerInternet": "pl-1"},
}
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no release": ({"Release": ""}, "ReleaseIsNamed"),
    "a new network with Chroma": (CHROMA, "ANewNetworkReachesNoOther"),
    "a new network with Ollama": (OLLAMA, "ANewNetworkReachesNoOther"),
    "a token for the stack's Chroma": (SECRET, "AccountsAreOfExternalChroma"),
    "no network for Chroma": ({"Network": "none", **OLLAMA}, "ServersAreGivenWithoutNetwork"),
    "no network for Ollama": ({"Network": "none", **CHROMA}, "ServersAreGivenWithoutNetwork"),
    "another tenant of the stack's Chroma": (
        {"ChromaAccount": "t,d,Authorization,"},
        "AccountsAreOfExternalChroma",
    ),
    "no zone": (EXISTING, "ExistingNetworkIsNamed"),
    "no subnets": ({**EXISTING, **CHROMA, "SubnetIds": ""}, "ExistingNetworkIsNamed"),
    "no security groups": ({**EXISTING, **CHROMA, "SecurityGroupIds": ""}, "ExistingNetworkIsNamed"),
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    content, problems = decode(str(ROOT / "template.yaml"))
    assert not problems
    assert isinstance(content, dict)
    return content


def value(node: Any, given: Mapping[str, str]) -> Any:
    """The value of a rule's function."""
    if not isinstance(node, dict):
        return node
    ((name, arguments),) = node.items()
    if name == "Ref":
        return given[arguments]
    values = [value(one, given) for one in arguments]
    functions: dict[str, Callable[[], bool]] = {
        "Fn::Equals": lambda: values[0] == values[1],
        "Fn::Not": lambda: not values[0],
        "Fn::And": lambda: all(values),
        "Fn::Or": lambda: any(values),
        "Fn::Contains": lambda: values[1] in values[0],
    }
    return functions[name]()


def broken(template: dict[str, Any], given: Mapping[str, str]) -> set[str]:
    """The rules that refuse these parameters, beside the defaults and a release."""
    defaults = {name: str(one["Default"]) for name, one in template["Parameters"].items()}
    values = defaults | {"Release": "a" * 64} | dict(given)
    return {
        name
        for name, rule in template["Rules"].items()
        if value(rule.get("RuleCondition", True), values)
        and not all(value(one["Assert"], values) for one in rule["Assertions"])
    }


@pytest.mark.parametrize("given", ALLOWED.values(), ids=ALLOWED)
def test_what_works_is_allowed(template: dict[str, Any], given: dict[str, str]) -> None:
    assert broken(template, given) == set()


@pytest.mark.parametrize(("given", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused(template: dict[str, Any], given: dict[str, str], rule: str) -> None:
    assert broken(template, given) == {rule}


def test_every_rule_refuses_something(template: dict[str, Any]) -> None:
    assert {rule for _, rule in REFUSED.values()} == set(template["Rules"])


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_is_allowed(template: dict[str, Any], path: Any) -> None:
    given = {name: str(one) for name, one in tomllib.loads(path.read_text()).items()}
    assert broken(template, given) == set()


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_the_query_function_can_read_the_schedule_of_every_profile(path: Any) -> None:
    schedule = tomllib.loads(path.read_text()).get("OllamaNight", RIGHT["OllamaNight"][0])
    assert Night.parse(schedule)


CERTIFICATE = "arn:aws:acm:us-east-1:111122223333:certificate/0a-1b"
# Values that a parameter must refuse: its parts are split without another check.
WRONG = {
    "Network": ["create", "existing", "vpc", "three-zones"],
    "ServerInternet": ["none", "pl-"],
    "ChromaAccount": ["tenant", "tenant,database,Authorization", "t,d,X-Other,", "t,d,Authorization,secret"],
    "ChromaPlace": ["first", "third,", "first,vol-1"],
    "OllamaUrl": ["ollama", "https://ollama,token", "https://ollama,arn:aws:s3:::bucket", "https://a,https://b"],
    "OllamaInstance": ["g5.xlarge", "g5.xlarge,cheap", "g5.xlarge,1,spot"],
    "OllamaHosts": ["1", "2,0", "1,2,3"],
    "OllamaNight": ["0 19 * * *", "0 19 * * *;0 7 * * 1-5", ";;", "0 19 * * *;0 7 * * MON;UTC"],
    # The role and the endpoint allow what is below URI/*: s3://models//* would be no object.
    "OllamaModelsUri": ["models", "s3://", "s3://models/", "s3://models/ollama/", "s3://models//ollama"],
    "MachineImages": ["ami-1", "ami-1,ami-2,ami-3"],
    "Index": ["200", "200,on,4", "200,off,"],
    "NextIndex": ["", "400", "400,on,,"],
    "RestoredTables": ["", "ledger", "a,b,c,d,e", "ledger.1,,usage-2,"],
    "Alarms": ["", "a@example.com", "100", "a@example.com,many"],
    "Console": [
        "",
        "docs.example.com,,",  # a domain needs a certificate
        f",{CERTIFICATE},",
        f"docs.example.com,{CERTIFICATE.replace('us-east-1', 'eu-central-1')},",
        f"docs.example.com,{CERTIFICATE}",
        ",,arn:aws:wafv2:eu-central-1:111122223333:regional/webacl/a/b",
    ],
}
RIGHT = {
    "Network": ["two-zones", "one-zone", "none", "vpc-0a1b"],
    "ServerInternet": ["public", "pl-6ea54007"],
    "ChromaAccount": [SECRET["ChromaAccount"], "tenant,database,X-Chroma-Token,"],
    "ChromaPlace": ["second,snap-0a1b"],
    "OllamaUrl": ["https://ollama", "https://ollama:11434,arn:aws:secretsmanager:eu-central-1:1:secret:a-b"],
    "OllamaInstance": ["g5.xlarge,1.006", "g5.xlarge,0.5,0"],
    "OllamaHosts": ["0,1", "2,10"],
    "OllamaNight": ["0 19 * * *;0 7 * * 1,3;Europe/Berlin", "0 19 * * *;0 7 * * 1;Etc/GMT+5"],
    "OllamaModelsUri": ["", "s3://models", "s3://models/ollama/0.12"],
    "MachineImages": ["ami-0a,ami-0b", ",ami-0b"],
    "Index": ["200,rapidocr,0"],
    "NextIndex": ["400,rapidocr,8,/var/task/next-model", "0,,,"],
    "RestoredTables": [",,usage-2,", "ledger.1/stream/2026-11-25T10:00:00.123,,usage-2,"],
    "Alarms": [",0", "a@example.com,99.5"],
    "Console": [
        "none",
        ",,",
        f"docs.example.com,{CERTIFICATE},",
        ",,arn:aws:wafv2:us-east-1:111122223333:global/webacl/a/b",
    ],
}


def test_the_parts_of_alarms_are_an_address_and_a_budget() -> None:
    values = Values({"Alarms": "a@example.com,250.5"})
    resources = whole()["Resources"]
    assert values.of(resources["Budget"]["Properties"]["Budget"]["BudgetLimit"]["Amount"]) == "250.5"
    addresses = [
        one["Properties"]["Endpoint"] for one in resources.values() if one["Type"] == "AWS::SNS::Subscription"
    ]
    assert [values.of(one) for one in addresses] == ["a@example.com"]


@pytest.mark.parametrize("name", WRONG)
def test_a_parameter_of_several_parts_takes_all_of_them(template: dict[str, Any], name: str) -> None:
    pattern = template["Parameters"][name]["AllowedPattern"]
    taken = [one for one in WRONG[name] if re.fullmatch(pattern, one)]
    refused = [one for one in RIGHT.get(name, []) if not re.fullmatch(pattern, one)]
    assert (taken, refused) == ([], [])
