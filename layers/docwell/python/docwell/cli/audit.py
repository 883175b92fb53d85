"""`docwell audit`, and the events that other commands add to the audit trail.

An operator runs these with AWS credentials; they do not use the docwell API.
"""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from docwell.audit import Action, AuditEvent
from docwell.cli import display
from docwell.cli.command import ConnectedCommand, JsonFlag, group
from docwell.cli.remote import Json, aws_client, plain_failures
from docwell.cli.settings import Settings

if TYPE_CHECKING:
    from docwell.adapters.dynamodb.audit import AuditReader

app = group()


@app.command(cls=ConnectedCommand)
def audit(
    ctx: typer.Context,
    *,
    document: Annotated[str | None, typer.Option(metavar="KEY", help="Only events of this document.")] = None,
    actor: Annotated[
        str | None, typer.Option(metavar="ID", help="Only events of this actor, such as key:ID or aws:ARN.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List who asked, which documents were cited, who changed a grant and who erased. Oldest first."""
    with plain_failures("cannot read the audit trail"):
        events = [_as_json(event) for event in audit_reader(ctx.obj).events(actor, document)]
    if as_json:
        display.show_json({"events": events})
    elif events:
        fields = ("actor", "action", "subject", "documents", "request_id")
        rows = (
            (
                display.local_time(event["at"]),
                *(", ".join(event[name]) if name == "documents" else event[name] or "" for name in fields),
            )
            for event in events
        )
        display.show_table(("time", "actor", "action", "subject", "documents", "request"), rows)
    else:
        display.echo("no events match", err=True)


def record(
    settings: Settings, action: Action, *, subject: str | None = None, documents: frozenset[str] = frozenset()
) -> None:
    """Add an event of this operator to the trail; without a table, say that nothing is recorded."""
    from docwell.adapters.dynamodb.audit import DynamoAudit

    if not settings.audit_table:
        display.echo("not recorded: the settings name no audit_table", err=True)
        return
    with plain_failures(f"{action.value}, but not recorded in the audit trail"):
        # The local stack has one key for all users of the machine.
        operator = f"os:{getpass.getuser()}"
        if not settings.local:
            operator = f"aws:{aws_client(settings, 'sts').get_caller_identity()['Arn']}"
        event = AuditEvent(operator, action, documents, subject)
        DynamoAudit(aws_client(settings, "dynamodb"), settings.audit_table).append(event)


def audit_reader(settings: Settings) -> AuditReader:
    """Return the trail for reading. Raises `Failure` without a table in the settings."""
    from docwell.adapters.dynamodb.audit import AuditReader

    return AuditReader(aws_client(settings, "dynamodb"), settings.need("audit_table"))


def _as_json(event: AuditEvent) -> Json:
    return {
        "at": event.at,
        "actor": event.actor,
        "action": event.action.value,
        "subject": event.subject,
        "documents": sorted(event.documents),
        "request_id": event.request_id,
    }
