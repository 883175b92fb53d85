"""`docwell restore`: bring back documents that were deleted from the bucket, and index them again.

It is safe to run again, also after an interruption: it removes only delete markers, and reconcile compares all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, DryRunFlag, group
from docwell.cli.failure import ExitCode, Failure
from docwell.cli.operations import FunctionOption, ReconcileFunction, show_reconcile
from docwell.cli.remote import plain_failures, s3_client

if TYPE_CHECKING:
    from docwell.adapters.s3 import S3Versions
    from docwell.cli.settings import Settings

_SHOWN = 20

app = group()


@app.command(cls=ConnectedCommand)
def restore(
    ctx: typer.Context,
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="When the deletion began, as 2026-11-25T10:00; UTC without an offset."),
    ],
    *,
    prefix: Annotated[str, typer.Option(metavar="PREFIX", help="Only keys that begin with this.")] = "",
    dry_run: DryRunFlag = False,
    function: FunctionOption = None,
) -> None:
    """Undelete the documents that were deleted since a time, then reconcile.

    Needs versions in the bucket, and s3:ListBucketVersions and s3:DeleteObjectVersion. Replaced documents keep
    their newest version.
    """
    begun = _time(since)
    settings: Settings = ctx.obj.given(reconcile_function=function)
    versions = _versions(settings)
    call = None if dry_run else ReconcileFunction(settings)
    batches = (
        ([one.key for one in page] for page in versions.deleted_since(begun, prefix))
        if dry_run
        else versions.undelete(begun, prefix)
    )
    keys: dict[str, None] = {}
    with plain_failures("cannot undelete"):
        for batch in batches:
            keys |= dict.fromkeys(batch)
    for key in list(keys)[:_SHOWN]:
        display.say(display.one_line(key))
    display.say(f"{len(keys):,} documents {'would be ' if dry_run else ''}undeleted", "bold")
    if call is None:
        return
    # The deletions may still be in the queue: they read the bucket as it is now, so start all the same.
    answer = call.repeat({"action": "reconcile", "force": True}, until="complete")
    show_reconcile(answer)
    if not answer.get("complete"):
        raise typer.Exit(ExitCode.ERROR)


def _versions(settings: Settings) -> S3Versions:
    from docwell.adapters.s3 import S3Versions

    return S3Versions(s3_client(settings), settings.need("bucket"))


def _time(text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"--since {text!r} is no time like 2026-11-25T10:00", ExitCode.USAGE) from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)
