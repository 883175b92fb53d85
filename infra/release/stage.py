"""Deploy a build: data and servers if they change, then the app, which rolls back alone.

`python -m infra.release.stage STACK PARAMETERS.toml [OPTIONS of sam deploy]` needs SAM's packages alone, as in CI.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from infra.container.sam import ROOT, SAM, StepError, aws_errors
from infra.release import console, credentials, preflight

COMPUTED = RELEASE, TEMPLATES, PREVIOUS_MODEL = "Release", "Templates", "PreviousModel"
PREVIEW = "--no-execute-changeset"
# What is down while a part changes, by parameters and templates.
OUTAGES = tomllib.loads(Path(__file__).with_name("outages.toml").read_text(encoding="utf-8"))
# As in infra/data.yaml.
EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*", "s3:ObjectTagging:*"]
_STACK = "AWS::CloudFormation::Stack"
_DEAD = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
_FAILED = "docs/operate/deploy.md, When a deployment fails, has the next command for each failure"
# The end of a boot log names the command that failed. CloudFormation waits half an hour for a host.
_BOOT_LINES, _BOOT_S = 25, 3600
# What a release keeps of its digest. The last eight digits are a time.
_DIGEST = 56


def read(path: Path) -> dict[str, str]:
    """Return the parameters of a deployment."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def write(path: Path, values: Mapping[str, str]) -> None:
    """Write the parameters of a deployment where samconfig.toml expects them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())
    path.write_text("".join(lines), encoding="utf-8")


def named(release: str, deployed: str, now: float) -> str:
    """Return the deployed release if it has the same digest, else the digest with the time at its end.

    A deployment that rolled back leaves its version. Lambda would publish no other one for the same function, so a
    second attempt needs another name.
    """
    return deployed if deployed[:_DIGEST] == release[:_DIGEST] else f"{release[:_DIGEST]}{int(now):08x}"


def deployed(stack: str) -> tuple[dict[str, str] | None, dict[str, str]]:
    """Return the parameters of a stack, or None where it does not exist, and its outputs. Raises `StepError`."""
    try:
        (described,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        if "does not exist" in str(error):
            return None, {}
        raise StepError(f"{stack}: {error}") from None
    parameters = {entry["ParameterKey"]: str(entry["ParameterValue"]) for entry in described.get("Parameters", [])}
    return parameters, {entry["OutputKey"]: str(entry["OutputValue"]) for entry in described.get("Outputs", [])}


def network_of(stack: str) -> str:
    """Return the `Network` of a stack that has made one; empty without. Raises `StepError`."""
    parameters, outputs = deployed(stack)
    network = (parameters or {}).get("Network", "") if outputs else ""
    return network if "zone" in network else ""


def placed(stack: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return parameters that name both zones of a new network: the stack's, which stay, or the region's first two.

    CloudFormation's GetAZs has no fixed order, and EC2 cannot move a subnet. Raises `StepError`.
    """
    if "zone" not in values.get("Network", "") or "," in values["ServerZone"]:
        return dict(values)
    of_stack: Any = [{"Name": "tag:Name", "Values": [f"{stack}-ServersStack-* servers ?"]}]
    without_local: Any = [{"Name": "zone-type", "Values": ["availability-zone"]}]
    with aws_errors(stack):
        subnets = boto3.client("ec2").describe_subnets(Filters=of_stack)["Subnets"]
        listed = boto3.client("ec2").describe_availability_zones(Filters=without_local)["AvailabilityZones"]
    zones = [subnet["AvailabilityZone"] for subnet in sorted(subnets, key=lambda subnet: subnet["CidrBlock"])]
    return {**values, "ServerZone": ",".join(zones or sorted(zone["ZoneName"] for zone in listed)[:2])}


def protected(stack: str, profile: str, values: Mapping[str, str]) -> tuple[dict[str, str] | None, dict[str, str]]:
    """Return what `deployed` does. Raises `StepError`, also if a deployment of the values would lose data."""
    before, outputs = deployed(stack)
    if not before and values["Adopt"] == "false" and (bucket := preflight.left_by(stack)):
        raise StepError(f"a deleted {stack} left {bucket}: `make restore WHAT=stack PROFILE={profile}` adopts it")
    # A stack whose creation failed has parameters, but no outputs and no data.
    if before and outputs:
        app = deployed(f"{stack}-app")[0] or {}
        in_use = {name: app[name] for name in ("Index", "NextIndex") if name in app}
        if problems := [*refusal(profile, placed(stack, before | in_use), placed(stack, values))]:
            raise StepError("\n".join(problems))
    return before, outputs


def settle(stack: str) -> None:
    """Bring a stack into a state that a deployment can change. Raises `StepError`.

    Delete one whose first deployment or whose deletion failed: no deployment can change it, and data stays. Repeat
    a rollback that failed.
    """
    client, since = boto3.client("cloudformation"), datetime.now(UTC)
    try:
        status = client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        if status in _DEAD:
            print(f"{stack} is {status}, which no deployment can change: delete it, and begin again")
            client.delete_stack(StackName=stack)
            client.get_waiter("stack_delete_complete").wait(StackName=stack)
        elif status == "UPDATE_ROLLBACK_FAILED":
            print(f"{stack} is {status}: repeat the rollback")
            client.continue_update_rollback(StackName=stack)
            client.get_waiter("stack_rollback_complete").wait(StackName=stack)
        elif status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            raise StepError(f"{stack} is {status}: wait for its end, then run this again")
    except WaiterError:
        raise StepError("\n".join([*why(stack, since), f"{stack} stays {status}. {_FAILED}"])) from None
    except (BotoCoreError, ClientError) as error:
        if "does not exist" not in str(error):
            raise StepError(f"{stack}: {error}") from None


def failures(stack: str, since: datetime) -> list[tuple[datetime, str, str]]:
    """Return time, name and reason of what failed in a stack's last operation since a time, and in nested ones.

    Raises `BotoCoreError`, `ClientError`.
    """
    failed: list[tuple[datetime, str, str]] = []
    pages = boto3.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
    for event in (event for page in pages for event in page["StackEvents"]):
        status, resource = event["ResourceStatus"], event.get("PhysicalResourceId")
        reason = event.get("ResourceStatusReason", status)
        if event["Timestamp"] < since:
            break
        if resource == event["StackId"]:
            if status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
                break
        elif status.endswith("FAILED") and "cancelled" not in reason:
            nested = failures(resource, since) if event["ResourceType"] == _STACK and resource else []
            name = f"{event['StackName']}.{event['LogicalResourceId']}"
            failed += nested or [(event["Timestamp"], name, reason)]
    return sorted(set(failed))


def why(stack: str, since: datetime) -> Iterator[str]:
    """Yield what failed in a stack's last operation since a time, the first first, and its servers' boot logs."""
    try:
        failed = failures(stack, since)
        yield from (f"failed at {at:%Y-%m-%d %H:%M:%S} UTC: {name}: {reason}" for at, name, reason in failed[:5])
        logs = boto3.client("logs")
        pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"{stack}-ServersStack-")
        start = failed[0][0].timestamp() - _BOOT_S if failed else time.time()
        for group in (group["logGroupName"] for page in pages for group in page["logGroups"]):
            events = logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, logStreamNamePrefix="boot-", startTime=int(start * 1000)
            )
            if lines := [event["message"] for page in events for event in page["events"]]:
                yield "\n  ".join((f"{group}:", *lines[-_BOOT_LINES:]))
    except (BotoCoreError, ClientError) as error:
        yield f"what failed cannot be read: {error}"


def refusal(profile: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield why a stack cannot change from its parameters to others."""
    file = f"infra/parameters/{profile}.toml"
    if before.get("KmsKeyArn", "") not in ("", after.get("KmsKeyArn")):
        yield "KmsKeyArn: documents keep the key that encrypted them, and the functions may use only the new one"
    if before.get("Adopt") == "true" != after.get("Adopt"):
        yield f'Adopt: the stack took its buckets over, and cannot create them: write Adopt = "true" into {file}'
    if len({part["ServerZone"] for part in (before, after) if "zone" in part.get("Network", "")}) > 1:
        yield "ServerZone: the subnets of the network stay in their zones, as EC2 cannot move them"
    tables = (parameters.get("RestoredTables", ",,,").split(",") for parameters in (before, after))
    if lost := [table for table, following in zip(*tables, strict=True) if table and not following]:
        yield f"RestoredTables: the stack uses {', '.join(lost)}, and {file} no longer names it"
    if "Index" in before and indexes(after)[0] not in indexes(before):
        yield "Index: questions find nothing until all is indexed again: docs/operate/operations.md#re-index"
    if changed := volume_changes(before, after):
        change = f"make restore WHAT=zone PROFILE={profile}"
        yield f"{' and '.join(changed)}: Chroma's volume cannot change so. `{change}` makes another"


def indexes(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return chunk tokens and number of collections of the index, and of the next one."""
    tokens, _, shards = values["Index"].split(",")
    next_tokens, _, next_shards, _ = values.get("NextIndex", "0,,,").split(",")
    return [(tokens, shards), (tokens if next_tokens == "0" else next_tokens, next_shards or shards)]


def volume_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the parameters by which Chroma's volume would change although EC2 cannot change it.

    A volume keeps its key, zone and snapshot, and can only grow. Another subnet in `ChromaPlace` makes another.
    """
    subnets = [parameters.get("ChromaPlace", "").partition(",")[0] for parameters in (before, after)]
    if before.get("ChromaUrl") or after.get("ChromaUrl") or subnets[0] != subnets[1]:
        return []
    names = ["KmsKeyArn", "ChromaPlace"]
    changed = [name for name in names if name in before and before[name] != after.get(name)]
    place = -1 if subnets[0] == "second" else 0
    zones = {parameters.get("ServerZone", "").split(",")[place] for parameters in (before, after)}
    changed += ["ServerZone"] if len(zones) > 1 else []
    sizes = [int(parameters.get("ChromaVolumeGiB", 0)) for parameters in (before, after)]
    return [*changed, *(["ChromaVolumeGiB"] if sizes[1] < sizes[0] else [])]


def heard(profile: str, values: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Refuse a deployment whose alarms reach no one; warn for `small`. Raises `StepError`."""
    if values["Alarms"].partition(",")[0] or any(_subscribers(outputs.get("AlarmTopic"))):
        return
    problem = (
        f'the alarms of {profile} reach no one: write Alarms = "ADDRESS,0" into infra/parameters/{profile}.toml, '
        "or subscribe to the AlarmTopic of its app"
    )
    if profile != "small":
        raise StepError(problem)
    print(f"warning: {problem}")


def _subscribers(topic: str | None) -> list[bool]:
    """Return for each subscriber of a topic whether it has confirmed. Raises `StepError`."""
    if topic is None:
        return []
    with aws_errors(topic):
        pages = boto3.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        return [entry["SubscriptionArn"].startswith("arn:") for page in pages for entry in page["Subscriptions"]]


def deploy(stack: str, path: Path, options: Sequence[str] = ()) -> None:
    """Deploy data and servers if they change, then the app with their outputs, and print what changes.

    A preview (`PREVIEW`) makes change sets and nothing else. Raises `StepError`.
    """
    values, app, preview = placed(stack, read(path)), f"{stack}-app", PREVIEW in options
    for name in () if preview else (stack, app):
        settle(name)
    before, outputs = protected(stack, path.stem, values)
    live, its = deployed(app)
    previous, model = answering(its.get("QueryFunction"))
    # Hosts keep the models of the version that answers, which an undo may have chosen, and of the stack's, to
    # which the app may roll back.
    models = {model, (live or values)["ModelName"]} - {"", values["ModelName"]}
    current = before or {}
    kept = current.get(PREVIOUS_MODEL, "") if current.get("ModelName") == values["ModelName"] else ""
    values[PREVIOUS_MODEL] = kept if models <= {*kept.split()} else " ".join(sorted(models))
    if not preview:
        # The stack names its secrets, so they come first.
        credentials.ServerSecrets(stack).ensure(values)
    if lines := list(changes(preflight.SYSTEM, before, values)):
        print(f"{stack} (data and servers):", *lines, sep="\n  ")
        if preview and not before:
            return
        _sam(stack, path, values, "--template-file", str(preflight.SYSTEM), *options)
        outputs = outputs if preview else _changed(stack, preflight.SYSTEM, values)
    if missing := preflight.given() - outputs.keys():
        print(f"{app}: its changes are known once {stack} has {', '.join(sorted(missing))}")
        return
    given = {name: outputs[name] for name in sorted(preflight.given())}
    release = sha256(f"{values[RELEASE]}{json.dumps(given)}".encode()).hexdigest()
    values |= given | {RELEASE: named(release, (live or {}).get(RELEASE, ""), time.time())}
    lines = list(changes(preflight.APP, live, values)) or ["at most the image of ingest: see SAM's change set"]
    print(f"{app} (the app):", *lines, sep="\n  ")
    _sam(app, path, values, "--resolve-image-repos", *options)
    if not preview:
        after(app, values, previous)


def changes(template: Path, before: Mapping[str, str] | None, values: Mapping[str, str]) -> Iterator[str]:
    """Yield what a deployment of a stack changes and what is down meanwhile; nothing without a change."""
    parts = {name for name in preflight.declared(template) if (before or {}).get(name) != values[name]}
    if not before:
        yield OUTAGES["new"][template.stem]
        return
    if template == preflight.SYSTEM and RELEASE in before:
        yield OUTAGES["new"]["moves"]
    for name in sorted(parts - {RELEASE, TEMPLATES}):
        yield f"{name}: {before.get(name, '(none)')!r} -> {values[name]!r}"
    if TEMPLATES in parts:
        digests = set(values[TEMPLATES].split(",")) - set(before.get(TEMPLATES, "").split(","))
        names = sorted(digest.partition("=")[0] for digest in digests)
        yield f"templates: {', '.join(names)}"
        parts.update(f"{name}.yaml" for name in names)
    if RELEASE in parts:
        yield "a new version of the query function, and every function whose build changed"
    # The other rows are about data and servers, whose parameters and outputs the app has too.
    down = parts if template == preflight.SYSTEM else parts & {RELEASE}
    yield from (row["says"] for row in OUTAGES["outage"] if down & set(row["parts"]))


def _sam(stack: str, path: Path, values: Mapping[str, str], *options: str) -> None:
    """Run `sam deploy`. Raises `StepError` with what failed first and the ends of boot logs."""
    write(path, values)
    since = datetime.now(UTC)
    command = [str(SAM), "deploy", "--config-env", path.stem, "--stack-name", stack, *options]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"SAM_CLI_TELEMETRY": "0"}, check=False)
    if done.returncode:
        raise StepError("\n".join([*why(stack, since), f"sam deploy: exit {done.returncode}. {_FAILED}"]))


def _changed(stack: str, template: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Return the outputs of a stack that has the values. Raises `StepError`: else it was declined."""
    parameters, outputs = deployed(stack)
    if not parameters or any(changes(template, parameters, values)):
        raise StepError(f"{stack} was not changed, so the deployment ends here")
    return outputs


def after(app: str, values: Mapping[str, str], previous: str) -> None:
    """Protect both stacks, delete old versions, publish the console; print its address and what still starts.

    Raises `StepError`.
    """
    outputs = _changed(app, preflight.APP, values)
    with aws_errors(app):
        protect = boto3.client("cloudformation").update_termination_protection
        for name in (values["SystemName"], app):
            protect(EnableTerminationProtection=True, StackName=name)
        enlist(outputs["UsagePlanId"], outputs["PrincipalsTable"])
        if values["Adopt"] == "true":
            notify(outputs["Bucket"], outputs["IngestQueueUrl"])
        prune(outputs.get("QueryFunction"), previous)
        waiting = starting(values["ModelHostGroup"])
    if waiting:
        print(f"until {waiting} model hosts have started, for up to 30 minutes, answers quote the documents")
    if not all(_subscribers(outputs.get("AlarmTopic"))):
        print("alarms: AWS has sent a mail with a link. Until you follow it, no alarm reaches that address")
    if address := console.publish(values, outputs):
        print(f"console: {address}")


def enlist(plan: str, table: str) -> None:
    """Put the gateway's keys of all principals into a usage plan: a new one has none of them."""
    gateway, pages = boto3.client("apigateway"), boto3.client("dynamodb").get_paginator("scan")
    listed = set(gateway.get_paginator("get_usage_plan_keys").paginate(usagePlanId=plan).search("items[].id"))
    for page in pages.paginate(TableName=table, FilterExpression="attribute_exists(key_id)"):
        for key in {row["key_id"]["S"] for row in page["Items"] if "-" not in row["key_id"]["S"]} - listed:
            try:
                gateway.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
            except (gateway.exceptions.ConflictException, gateway.exceptions.NotFoundException):
                continue  # another deployment put it there, or it was deleted by hand


def starting(group: str) -> int:
    """Return how many model hosts are wanted and not yet in service."""
    described = boto3.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
    return sum(
        entry["DesiredCapacity"] - sum(host["LifecycleState"] == "InService" for host in entry["Instances"])
        for entry in described["AutoScalingGroups"]
    )


def notify(bucket: str, queue: str) -> None:
    """Send the events of an adopted bucket to the ingest queue, as infra/data.yaml does."""
    attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    target: Any = {"QueueArn": attributes["Attributes"]["QueueArn"], "Events": EVENTS}
    boto3.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [target]}
    )


def answering(function: str | None) -> tuple[str, str]:
    """Return the version of a function that answers, and its model; empty without one. Raises `StepError`."""
    if function is None:
        return "", ""
    client = boto3.client("lambda")
    with aws_errors(f"the versions of {function}"):
        version = client.get_alias(FunctionName=function, Name="live")["FunctionVersion"]
        settings = client.get_function_configuration(FunctionName=function, Qualifier=version)
    return version, settings.get("Environment", {}).get("Variables", {}).get("DOCWELL_MODEL", "")


def prune(function: str | None, previous: str) -> None:
    """Delete the versions of a function but the live one and the previous one. Each costs its snapshot.

    Without a new version, delete none: the stack may name one that was undone by the alias.
    """
    live, _ = answering(function)
    if function is None or live == previous:
        return
    client = boto3.client("lambda")
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=function)
    for name in sorted({version["Version"] for page in pages for version in page["Versions"]}):
        if name not in ("$LATEST", live, previous):
            client.delete_function(FunctionName=function, Qualifier=name)


if __name__ == "__main__":
    name, parameters, *options = sys.argv[1:]
    path = Path(parameters)
    try:
        heard(path.stem, read(path), deployed(f"{name}-app")[1])
        values = placed(name, read(path)) | {"NetworkOfStack": network_of(name)}
        if problems := list(preflight.of_account(values, builds=False)):
            sys.exit("\n".join(problems))
        deploy(name, path, options)
    except StepError as error:
        sys.exit(str(error))
