"""Refuse parameters that cannot work before anything is built: what a template's patterns and rules cannot see."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
import jmespath  # type: ignore[import-untyped] # ships no types
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from cfnlint.decode import decode  # type: ignore[import-untyped] # ships no types

# Codes of EC2's quotas of running vCPUs by the first letter of an instance type, on demand.
_ON_DEMAND = dict.fromkeys("acdhimrtz", "L-1216C47A") | {"g": "L-DB2E81BA", "p": "L-417A185B", "x": "L-7295265B"}
_SPOT_G = "L-3819A6DF"
# Lambda keeps these executions for functions without a reserved concurrency.
_UNRESERVED = 100
_PROCESSORS = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64", "amd64": "x86_64"}
# A value in the JSON of a call, and in the pattern that AWS's answer must match.
_QUOTES: dict[str, Callable[[str], str]] = {"arguments": lambda text: json.dumps(text)[1:-1], "right": re.escape}
INFRA = Path(__file__).parents[1]
# The stack of data and servers, and the app, which gets its outputs.
SYSTEM, APP = INFRA / "system.yaml", INFRA.parent / "template.yaml"
# The things of the account that parameters name, and an action of each service that a deployment calls.
ACCOUNT = tomllib.loads(Path(__file__).with_name("account.toml").read_text(encoding="utf-8"))


@cache
def _section(template: Path, name: str) -> dict[str, dict[str, Any]]:
    return dict(decode(str(template))[0][name])


def declared(template: Path) -> dict[str, dict[str, Any]]:
    """Return the parameters that a template declares."""
    return _section(template, "Parameters")


def given() -> set[str]:
    """Return the parameters of the app that are outputs of the stack of data and servers."""
    return _section(SYSTEM, "Outputs").keys() & declared(APP).keys()


def settable() -> dict[str, dict[str, Any]]:
    """Return the parameters of both stacks, without those that one gives the other."""
    return {name: row for name, row in declared(APP).items() if name not in given()} | declared(SYSTEM)


def templates() -> str:
    """Return a digest of each template of data and servers, by which a deployment knows which of them changed."""
    paths, digests = [SYSTEM], dict[str, str]()
    for path in paths:
        digests[path.stem] = sha256(path.read_bytes()).hexdigest()[:8]
        nested = (part.get("Properties", {}).get("TemplateURL") for part in _section(path, "Resources").values())
        paths += [path.parent / url for url in nested if url]
    return ",".join(f"{name}={digest}" for name, digest in sorted(digests.items()))


_RULES: dict[str, Callable[..., Any]] = {
    "Fn::Equals": lambda left, right: str(left) == str(right),
    "Fn::Not": lambda part: not part,
    "Fn::And": lambda *parts: all(parts),
    "Fn::Or": lambda *parts: any(parts),
    "Fn::Contains": lambda choices, part: part in choices,
}


def broken(template: Path, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield name and sentence of each rule of a template that the parameters break."""

    def of(node: Any) -> Any:
        if isinstance(node, list):
            return [of(part) for part in node]
        if not isinstance(node, dict):
            return node
        ((name, arguments),) = node.items()
        return values[arguments] if name == "Ref" else _RULES[name](*of(arguments))

    for name, rule in _section(template, "Rules").items():
        if of(rule.get("RuleCondition", True)):
            sentences = (part["AssertDescription"] for part in rule["Assertions"] if not of(part["Assert"]))
            yield from ((name, sentence) for sentence in sentences)


def refused(chosen: Mapping[str, str], parameters: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each parameter that the template lacks, or whose value it does not allow."""
    for name, value in sorted(chosen.items()):
        if name not in parameters:
            yield f"no template takes {name}"
        elif not _allows(parameters[name], value):
            limits = ("AllowedValues", "MinValue", "MaxValue")
            allowed = ", ".join(f"{part} {parameters[name][part]}" for part in limits if part in parameters[name])
            yield f"{name} cannot be {value!r}: {allowed or parameters[name].get('Description', '')}"


def _allows(parameter: Mapping[str, Any], value: str) -> bool:
    if not re.fullmatch(str(parameter.get("AllowedPattern", ".*")), value, re.DOTALL):
        return False
    if parameter["Type"] == "Number":
        if not re.fullmatch(r"-?(0|[1-9][0-9]*)", value):  # conditions compare texts
            return False
        infinite = float("inf")
        if not parameter.get("MinValue", -infinite) <= float(value) <= parameter.get("MaxValue", infinite):
            return False
    return value in map(str, parameter.get("AllowedValues", [value]))


def impossible(values: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each choice of parameters that works in no account."""
    for root in (SYSTEM, APP):
        # `make deploy` names the release after the build.
        rules = broken(root, {**values, "Release": "later"})
        yield from (sentence for _, sentence in rules)
    yield from _hosts(values)
    yield from _network(values)
    nested = declared(INFRA / "servers.yaml")
    lines = refused({"NetworkCidr": nested["NetworkCidr"]["Default"]}, nested)
    yield from (f"infra/servers.yaml: {line}" for line in lines)


def _network(values: Mapping[str, str]) -> Iterator[str]:
    zones = {*values["ServerZone"].split(",")} - {""}
    if "zone" in values["Network"] and len(zones) not in (0, 2):
        yield "ServerZone: a new network has two zones: name both, with a comma, or none for the first two"
    for name in ("ChromaUrl", "OllamaUrl"):
        if values["Network"] == "none" and values[name].startswith("http://"):
            yield f"{name}: without a network, documents and tokens cross the internet: use https"
    subnets = set(filter(None, values["SubnetIds"].split(",")))
    if values["Network"].startswith("vpc-") and len(subnets) == 1:
        if _balanced(values):
            yield "SubnetIds: the load balancer of the model hosts needs subnets in two zones"
        if not values["ChromaUrl"] and values["ChromaPlace"].startswith("second"):
            yield "ChromaPlace: second means the second subnet of SubnetIds, which has one"
    if values["ServerInternet"].startswith("pl-"):
        for template, url in (("chroma", "ChromaUrl"), ("ollama", "OllamaUrl")):
            image = declared(INFRA / f"{template}.yaml")["Image"]["Default"]
            if not values[url] and ".dkr.ecr." not in image:
                yield (
                    f"ServerInternet: servers without internet access cannot pull {image}: copy it to ECR, and "
                    f"write the copy's name into infra/{template}.yaml (Image)"
                )


def _hosts(values: Mapping[str, str]) -> Iterator[str]:
    from cronsim import CronSim  # a stage of CI has SAM's packages alone

    from docwell.query.waking import Night

    least, most = map(int, values["OllamaHosts"].split(","))
    if least > most:
        yield f"OllamaHosts: the minimum, {least}, is over the maximum, {most}"
    if values["OllamaNight"]:
        try:
            night = Night.parse(values["OllamaNight"])
        except ValueError as error:
            yield f"OllamaNight: {error}"
            return
        first = datetime(2026, 1, 1)  # noqa: DTZ001 - the clock of no zone
        stops, starts = ({*islice(CronSim(text, first), 99)} for text in (night.stops, night.starts))
        if stops & starts:
            yield f"OllamaNight: hosts would stop and start in the same minute, {min(stops & starts):%A %H:%M}"


def _balanced(values: Mapping[str, str]) -> bool:
    """Return whether model hosts of the stack have a load balancer (infra/ollama.yaml)."""
    single = values["OllamaHosts"].endswith(",1") and not values["ServerInternet"].startswith("pl-")
    return not (values["OllamaUrl"] or single)


def of_account(values: Mapping[str, str], *, builds: bool = True) -> Iterator[str]:
    """Yield a sentence for each choice that this account, region or machine, where it `builds`, cannot give."""
    client = cache(boto3.client)  # many rows ask EC2
    things: list[Callable[..., Iterable[str]]] = [partial(_thing, row, client) for row in ACCOUNT["thing"]]
    for check in (_servers, _concurrency, _rights, *things, *([_docker] if builds else [])):
        try:
            yield from check(values)
        except (BotoCoreError, ClientError, ResponseParserError) as error:  # gaps of emulators
            print(f"not checked: {error}")


def _thing(row: Mapping[str, Any], client: Callable[..., Any], values: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each thing of a row of `ACCOUNT` that is missing or does not fit."""
    if row["right"] == "{Network}" and not values["Network"].startswith("vpc-"):
        return
    used = [name for name in row["parameters"] if not values.get(row.get("unless", ""))]
    account = client("sts").get_caller_identity()["Account"] if "own" in row else ""
    for parameter, match in ((name, part) for name in used for part in re.finditer(row["pattern"], values[name])):
        names = {**values, **match.groupdict()}
        if account not in ("", names.get("account")):
            continue
        if "quota" in row:
            names["quota"] = f"{_quota(*row['quota'])['Value']:g}"
        if re.search("{(zone|subnet)}", str(row)):
            names["subnet"] = _place(values, zones := _zones(values))
            names["zone"] = zones[names["subnet"]]
        arguments, answer, right, says, region = (
            re.sub(r"\{(\w+)\}", lambda name: _QUOTES.get(part, str)(names[name[1]]), row.get(part, ""))  # noqa: B023 - used at once
            for part in ("arguments", "answer", "right", "says", "region")
        )
        service, call = row["call"]
        try:
            described = getattr(client(service, region_name=region or None), call)(**json.loads(arguments))
        except ClientError as error:
            if not re.search("NotFound|NoSuch|Nonexistent", error.response["Error"]["Code"]):
                raise
            described = {}
        if not re.fullmatch(right, str(jmespath.search(answer, described) if described else "")):
            yield f"{parameter}: {says}"


def _quota(service: str, code: str) -> Any:
    return boto3.client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]


def _rights(_: Mapping[str, str]) -> Iterable[str]:
    """Warn if IAM may deny the caller a call: a simulation knows no conditions and no role of CloudFormation."""
    caller = boto3.client("sts").get_caller_identity()["Arn"]
    if caller.endswith(":root"):
        return ()
    role = re.sub(r":sts:(.*):assumed-role/([^/]+)/.*", r":iam:\1:role/\2", caller)
    resources = [f"{role.rpartition(':')[0]}:role/docwell-deployed", "*"]
    decisions = boto3.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=ACCOUNT["actions"], ResourceArns=resources
    )["EvaluationResults"]
    allowed = {entry["EvalActionName"] for entry in decisions if entry["EvalDecision"] == "allowed"}
    if denied := sorted({entry["EvalActionName"] for entry in decisions} - allowed):
        print(f"warning: IAM may deny {role} {', '.join(denied)}: see infra/rights.json (docs/operate/deploy.md)")
    return ()


def left_by(stack: str) -> str:
    """Return the documents bucket that a deleted stack left; empty without one, or if it cannot be read."""
    try:
        account = boto3.client("sts").get_caller_identity()["Account"]
        bucket = f"{stack}-documents-{account}-{boto3.session.Session().region_name}"
        boto3.client("s3").head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError):
        return ""
    return bucket


def _zones(values: Mapping[str, str]) -> dict[str, str]:
    """Return the zones of the servers' subnets by subnet; of a new network by their order."""
    if values["Network"].startswith("vpc-"):
        subnets = values["SubnetIds"].split(",")
        named: Any = [{"Name": "subnet-id", "Values": subnets}, {"Name": "vpc-id", "Values": [values["Network"]]}]
        pages = boto3.client("ec2").describe_subnets(Filters=named)["Subnets"]
        zones = {page["SubnetId"]: page["AvailabilityZone"] for page in pages}
        return {subnet: zones.get(subnet, "") for subnet in subnets}
    return dict(zip(("first", "second"), values["ServerZone"].split(","), strict=False))


def _place(values: Mapping[str, str], zones: Mapping[str, str]) -> str:
    """Return the subnet of Chroma's server, as `ChromaPlace` selects it."""
    return list(zones)[int(values["ChromaPlace"].startswith("second") and len(zones) > 1)]


def _servers(values: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each server that the zones of its subnets cannot have."""
    if values["Network"] == "none" or "" in (zones := _zones(values)).values():
        return
    if _balanced(values) and len(set(zones.values())) < len(zones):
        listed = ", ".join(zones.values())
        yield f"SubnetIds: the model hosts' load balancer takes one subnet of a zone, and these are in {listed}"
    client = boto3.client("ec2")
    for name, url, places in (
        ("ChromaInstanceType", "ChromaUrl", {zones[_place(values, zones)]}),
        ("OllamaInstance", "OllamaUrl", set(zones.values())),
    ):
        kind = values[name].split(",")[0]
        named: Any = [{"Name": "instance-type", "Values": [kind]}]
        types = client.describe_instance_types(Filters=named)["InstanceTypes"]
        if values[url] or not types:
            continue
        offers = client.describe_instance_type_offerings(LocationType="availability-zone", Filters=named)
        offered = {offer["Location"] for offer in offers["InstanceTypeOfferings"]}
        if not offered & places:
            elsewhere = ", ".join(sorted(offered)) or "no zone of this region"
            yield f"{name}: EC2 has no {kind} in {', '.join(sorted(places))}; a VPC of yours may use {elsewhere}"
        elif kind[0] in _ON_DEMAND:
            yield from _quotas(values, name, types[0]["VCpuInfo"]["DefaultVCpus"])


def _quotas(values: Mapping[str, str], name: str, processors: int) -> Iterator[str]:
    """Yield a sentence for each quota of vCPUs below what the most servers of a parameter need."""
    kind, _, first = [*values[name].split(","), "", ""][:3]
    most = int(values["OllamaHosts"].split(",")[1]) if name == "OllamaInstance" else 1
    on_demand = min(most, int(first or most))
    needs = {_ON_DEMAND[kind[0]]: on_demand, **({_SPOT_G: most - on_demand} if kind[0] == "g" else {})}
    for code, hosts in needs.items():
        if not hosts:
            continue
        quota = _quota("ec2", code)
        if quota["Value"] < hosts * processors:
            yield (
                f"{name}: {hosts} {kind} need {hosts * processors} vCPUs, and the quota "
                f"{quota['QuotaName']!r} is {quota['Value']:g}. AWS raises it within hours to days:\n"
                f"  aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {code} "
                f"--desired-value {hosts * processors}"
            )


def _concurrency(values: Mapping[str, str]) -> Iterator[str]:
    limit = boto3.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if values["QueryConcurrency"] != "0" and int(values["QueryConcurrency"]) + _UNRESERVED > limit:
        yield (
            f"QueryConcurrency: Lambda leaves {_UNRESERVED} of the account's {limit} concurrent executions to "
            f"other functions: at most {max(0, limit - _UNRESERVED)}, or 0 (no limit), or raise quota L-B99A9384"
        )


def _docker(values: Mapping[str, str]) -> Iterator[str]:
    program = shutil.which("docker")
    command = [program or "docker", "info", "--format", "{{.Architecture}}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() if program else ""
    if not answer:
        yield "Docker does not answer: start it, as it builds the image of ingest"
    elif _PROCESSORS.get(answer) != values["Architecture"]:
        yield f"Architecture: Docker builds for {answer} here, and the functions are {values['Architecture']}"
