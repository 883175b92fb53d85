"""`docwell doctor`: ask a deployment, or the local stack, what is ill, and name the page with its fix."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from docwell.cli import display
from docwell.cli.command import OPERATE, Commands
from docwell.cli.models import LEAST_RIGHT, HostOption, TokenOption, answers_of, model_of
from docwell.cli.remote import Api, aws_client, plain_failures, queue_url
from docwell.cli.settings import ExitCode, Failure, Settings, option
from docwell.errors import DocwellError
from docwell.version import VERSION

_RUNBOOK, _DEPLOY = "docs/operate/runbook.md#", "docs/operate/deploy.md#"
_MODELS = "docs/use/models.md#try-a-model"
# The canary runs every 30 minutes, reconcile every hour: each may miss one run. Few messages may have just come.
_CANARY_H, _RECONCILE_H, _SNAPSHOT_H, _CERTIFICATE_DAYS, _STUCK = 1.2, 2.2, 49, 30, 10
_WELL = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
_KEY_TYPES = ["RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1"]  # ACM lists RSA_2048 by default
# A check, its state, and the page that describes the repair of a part that is ill.
Row = tuple[str, str, str]

app = Commands(OPERATE)


@app.command()
def doctor(
    ctx: typer.Context,
    *,
    stack: Annotated[str | None, option("NAME", "Also ask AWS about this CloudFormation stack.")] = None,
    host: HostOption = None,
    token: TokenOption = None,
) -> None:
    """Ask a deployment what is ill, and print the page with its fix. Exit status 1 if anything is.

    Needs the API key of a principal with --operate; --stack also needs AWS credentials. With the address of the
    model host, its model is asked the questions of `docwell models check`, unless it is one for the demo.
    """
    settings: Settings = ctx.obj.override(ollama=host, ollama_token=token)
    if stack and settings.local:
        raise Failure(f"export DOCWELL_ENDPOINT and DOCWELL_API_KEY of {stack}: {_DEPLOY}", ExitCode.USAGE)
    rows: list[Row] = []
    parts = (("API", _of_api, f"{_RUNBOOK}answers-fail"), ("model", _of_model, _MODELS))
    for name, check, page in (*parts, ("AWS", _of_aws, f"{_DEPLOY}rights")):
        try:
            with plain_failures("asked from here"):
                rows.extend(check(settings, stack))  # those before a failure, too
        except DocwellError as error:
            rows.append((name, error.detail, page))
    display.show_table(["check", "state", "fix"], sorted(rows, key=lambda row: not row[2]))
    if any(page for *_, page in rows):
        raise typer.Exit(ExitCode.ERROR)


def _row(check: str, state: str, section: str, *, ill: object) -> Row:
    return check, state, _RUNBOOK + section if ill else ""


def _aged(check: str, at: float | None, hours: float, section: str) -> Row:
    """Return a row that is ill without a time, or when it is longer ago."""
    state = f"last {display.local_time(at)}" if at else "never"
    return _row(check, state, section, ill=not at or time.time() - at > hours * 3600)


def _of_api(settings: Settings, _: str | None) -> Iterator[Row]:
    api = Api(settings)
    version = (api.get("/v1/openapi.json", "info") or {}).get("info", {}).get("version")
    yield "API", f"version {version}, here {VERSION}", "" if version == VERSION else f"{_DEPLOY}upgrade"
    dependencies = (api.get("/v1/ready", "dependencies") or {}).get("dependencies")
    for name, answer in (dependencies or {"principals": "cannot be read"}).items():
        yield _row(name, answer, "answers-fail", ill=answer != "ok")
    state = api.get("/v1/operations", "unknown") or {"unknown": {"operations": "not told"}}
    for part, reason in state["unknown"].items():
        yield _row(part, reason, "answers-fail", ill=True)
    if letters := state.get("dead_letters"):
        yield _row("dead letters", f"{letters['waiting']:,}", "dead-letters", ill=letters["waiting"])
        failed = f"{len(letters['failed'])}{'+' * letters['more']}"
        yield _row("failed documents", failed, "failed-documents", ill=letters["failed"])
    last, canary = state.get("reconcile"), state.get("canary")
    if last:
        drift = ", ".join(f"{count} {kind}" for kind, count in last["drift"].items() if count)
        at = display.local_time(last["started_at"])[:16]
        yield _row("drift", f"{drift or 'none'} at {at}", "drift", ill=drift)
    if not settings.local:  # one machine has no canary, and may have no schedule
        yield _aged("reconcile", last and last["started_at"], _RECONCILE_H, "reconcile-silent")
        yield _aged("canary", canary and canary["at"], _CANARY_H, "canary")
    if canary:
        yield _row("canary", canary["outcome"], "canary", ill=canary["outcome"] not in {"found", "unindexed"})


def _of_model(settings: Settings, _: str | None) -> Iterator[Row]:
    model = Api(settings).get("/v1/status", "model", "model_host") or {"model": "unknown", "model_host": "unknown"}
    yield _row("model", f"{model['model']}: {model['model_host']}", "fallbacks", ill=model["model_host"] == "down")
    if settings.ollama and model["model_host"] == "awake" and not model.get("demo_model"):
        right = [answer["right"] for answer in answers_of(model_of(settings, model["model"]))]
        state = f"{sum(right)} of {len(right)} built-in questions right"
        yield "answers", state, "" if sum(right) >= LEAST_RIGHT else _MODELS


def _of_aws(settings: Settings, stack: str | None) -> Iterator[Row]:
    """Yield the state of the queue, and of a stack. The servers' certificate is read from its copy in ACM."""
    if settings.queue:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = queue_url(sqs := aws_client(settings, "sqs"), settings.queue)
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        waiting, working = (int(counts[name]) for name in names)
        state = f"{waiting:,} wait, {working:,} at work"
        yield _row("queue", state, "backlog", ill=waiting >= _STUCK and not working)
    else:
        yield "queue", "not read, as DOCWELL_QUEUE names none", ""
    if not stack:
        return
    outputs, created = dict[str, str](), time.time()
    cloudformation = aws_client(settings, "cloudformation")
    for name in (stack, f"{stack}-app"):  # that with the data comes first
        (described,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        created = min(created, described["CreationTime"].timestamp())
        outputs |= {entry["OutputKey"]: entry["OutputValue"] for entry in described.get("Outputs", [])}
        fix = "" if described["StackStatus"] in _WELL else f"{_DEPLOY}when-a-deployment-fails"
        yield name, described["StackStatus"], fix
    if "AlarmTopic" not in outputs:  # the app was never created whole
        return
    listed = aws_client(settings, "sns").list_subscriptions_by_topic(TopicArn=outputs["AlarmTopic"])
    confirmed = sum(entry["SubscriptionArn"].startswith("arn:") for entry in listed["Subscriptions"])
    yield "alarm subscribers", f"{confirmed} confirmed", "" if confirmed else f"{_DEPLOY}alarms-and-undo"
    alarms = aws_client(settings, "cloudwatch").get_paginator("describe_alarms")
    for alarm in alarms.paginate(AlarmNamePrefix=f"{stack}/", StateValue="ALARM").search("MetricAlarms"):
        fix = alarm.get("AlarmDescription", _RUNBOOK).split()[-1]
        yield "alarm", alarm["AlarmName"].partition("/")[2], fix
    tag = {"Name": "tag:docwell-snapshots", "Values": [f"{stack}-ServersStack-*"]}
    snapshots = aws_client(settings, "ec2").get_paginator("describe_snapshots")
    pages = snapshots.paginate(OwnerIds=["self"], Filters=[tag])
    times = [snapshot["StartTime"].timestamp() for snapshot in pages.search("Snapshots")]
    if outputs.get("CreatesChroma") != "false":
        yield _aged("snapshot", max(times, default=created), _SNAPSHOT_H, "snapshots")
    certificates = aws_client(settings, "acm").get_paginator("list_certificates")
    pages = certificates.paginate(Includes={"keyTypes": _KEY_TYPES})
    name, listed = f"ollama.{stack}.internal", pages.search("CertificateSummaryList")
    ends = [entry["NotAfter"] for entry in listed if name in entry.get("SubjectAlternativeNameSummaries", ())]
    days = (min(ends) - datetime.now(UTC)).days if ends else None
    fix = f"{_DEPLOY}tls-and-tokens" if days is not None and days <= _CERTIFICATE_DAYS else ""
    yield "certificate", f"ACM has none of {name}" if days is None else f"{days} days left", fix
