"""Steps before and after `sam deploy`: secrets, the release's name, versions, protection, console.

`python -m infra.release.stage before|after STACK PARAMETERS.toml` needs SAM's packages alone, as a stage has them.
"""

from __future__ import annotations

import json
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.release import console, credentials, preflight

RELEASE = "Release"
# As in infra/data.yaml.
EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*", "s3:ObjectTagging:*"]
# What a release keeps of its digest. The last eight digits are a time.
_DIGEST = 56


class StageError(Exception):
    """AWS refused a call. The message says which."""


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
    """Return the parameters of a stack, or None where it does not exist, and its outputs. Raises `StageError`."""
    try:
        (described,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        if "does not exist" in str(error):
            return None, {}
        raise StageError(f"{stack}: {error}") from None
    parameters = {entry["ParameterKey"]: str(entry["ParameterValue"]) for entry in described.get("Parameters", [])}
    return parameters, {entry["OutputKey"]: str(entry["OutputValue"]) for entry in described.get("Outputs", [])}


def heard(profile: str, values: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Refuse a deployment whose alarms reach no one; warn for `small`. Raises `StageError`."""
    if values["Alarms"].partition(",")[0] or any(_subscribers(outputs.get("AlarmTopic"))):
        return
    problem = (
        f'the alarms of {profile} reach no one: write Alarms = "ADDRESS,0" into infra/parameters/{profile}.toml, '
        "or subscribe to the stack's AlarmTopic"
    )
    if profile != "small":
        raise StageError(problem)
    print(f"warning: {problem}")


def _subscribers(topic: str | None) -> list[bool]:
    """Return for each subscriber of a topic whether it has confirmed. Raises `StageError`."""
    if topic is None:
        return []
    try:
        pages = boto3.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        return [entry["SubscriptionArn"].startswith("arn:") for page in pages for entry in page["Subscriptions"]]
    except (BotoCoreError, ClientError) as error:
        raise StageError(f"{topic}: {error}") from None


def before(stack: str, path: Path) -> dict[str, str]:
    """Create the secrets, name the release, and delete versions that no release needs; return the parameters.

    Raises `StageError`, `SecretsError`.
    """
    values = read(path)
    parameters, outputs = deployed(stack)
    values[RELEASE] = named(values[RELEASE], (parameters or {}).get(RELEASE, ""), time.time())
    write(path, values)
    # The stack names its secrets, so they come first.
    credentials.prepare(stack, values)
    prune(outputs.get("QueryFunction"))
    return values


def after(stack: str, path: Path) -> None:
    """Protect the stack, delete old versions, publish the console and print its address.

    Raises `StageError`, `ConsoleError`.
    """
    parameters, outputs = deployed(stack)
    try:
        boto3.client("cloudformation").update_termination_protection(
            EnableTerminationProtection=True, StackName=stack
        )
    except (BotoCoreError, ClientError) as error:
        raise StageError(f"the protection of {stack}: {error}") from None
    values = read(path)
    if values.get("Adopt") == "true":
        notify(outputs["Bucket"], outputs["IngestQueueUrl"])
    prune(outputs.get("QueryFunction"))
    if not all(_subscribers(outputs.get("AlarmTopic"))):
        print("alarms: AWS has sent a mail with a link. Until you follow it, no alarm reaches that address")
    if address := console.publish(values, parameters, outputs):
        print(f"console: {address}")


def notify(bucket: str, queue: str) -> None:
    """Send the events of an adopted bucket to the ingest queue, as infra/data.yaml does. Raises `StageError`."""
    try:
        attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        target: Any = {"QueueArn": attributes["Attributes"]["QueueArn"], "Events": EVENTS}
        boto3.client("s3").put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [target]}
        )
    except (BotoCoreError, ClientError) as error:
        raise StageError(f"the notifications of {bucket}: {error}") from None


def prune(function: str | None) -> None:
    """Delete the versions of a function but the live one and the one before it. Each costs its snapshot.

    A version above the live one is of a deployment that rolled back. Raises `StageError`.
    """
    if function is None:
        return
    try:
        client = boto3.client("lambda")
        live = int(client.get_alias(FunctionName=function, Name="live")["FunctionVersion"])
        pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=function)
        names = {version["Version"] for page in pages for version in page["Versions"]} - {"$LATEST"}
        earlier = sorted(int(name) for name in names if int(name) < live)
        for name in sorted(names - {str(live), *map(str, earlier[-1:])}):
            client.delete_function(FunctionName=function, Qualifier=name)
    except (BotoCoreError, ClientError) as error:
        raise StageError(f"the versions of {function}: {error}") from None


if __name__ == "__main__":
    step, name, parameters = sys.argv[1:]
    path = Path(parameters)
    if step == "before":
        heard(path.stem, read(path), deployed(name)[1])
        if problems := list(preflight.of_account(read(path), builds=False)):
            raise StageError("\n".join(problems))
    {"before": before, "after": after}[step](name, path)
