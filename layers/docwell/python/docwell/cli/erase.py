"""`docwell erase | audit`: remove a document from every store of docwell, and read the audit trail.

An operator runs these with AWS credentials. Erasing is safe to repeat, also after an interruption: it removes the
ledger's row last, so that each step finds the leftovers of the last run.
"""

from __future__ import annotations

import getpass
import time
from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from docwell.audit import Action, AuditEvent, pseudonym
from docwell.cli import display
from docwell.cli.command import OPERATE, Commands, DryRunFlag, JsonFlag, YesFlag
from docwell.cli.operations import ReconcileFunction
from docwell.cli.remote import Json, aws_client, plain_failures, s3_client
from docwell.cli.settings import ExitCode, Failure, Settings, argument, option

if TYPE_CHECKING:
    from docwell.adapters.dynamodb.audit import DynamoAudit
    from docwell.adapters.s3 import StoredVersion

_KEYS_AT_ONCE = 200  # a call of the function takes 6 MB, and a key has at most 1 KB
_PAUSE_S = 1.0
LONGEST_WAIT_S = 300.0  # seconds for ingest to remove the chunks
# A sent hint is in the queue or at work: send it again only after this time.
_HINT_EVERY_S = 30.0

app = Commands(OPERATE)


@dataclass(slots=True)
class Erased:
    """The report of one erasure or dry run, with counts by store. `remains` is what a search finds at the end.

    docs/operate/retention.md lists the copies that expire later. `unreadable` receipts stay, and may quote one.
    """

    at: str
    documents: list[str]
    dry_run: bool = True
    erased: dict[str, int | None] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    remains: dict[str, int] = field(default_factory=dict)


@app.command()
def erase(
    ctx: typer.Context,
    key: Annotated[str | None, argument("KEY", "Key of the document to erase.")] = None,
    *,
    prefix: Annotated[str | None, option("PREFIX", "Erase all documents whose key begins with this.")] = None,
    dry_run: DryRunFlag = False,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Erase documents for good: versions, chunks, receipts and names in the audit trail. Cannot be undone."""
    if bool(key) == bool(prefix):
        raise Failure("give one KEY or --prefix PREFIX", ExitCode.USAGE)
    erasure = Erasure(ctx.obj, key, prefix)
    erased = erasure.survey()
    if not dry_run:
        if not yes:
            _show(erased, err=True)
            name = str(key or prefix)
            if typer.prompt(f"This cannot be undone. Type {display.one_line(name)} to erase", err=True) != name:
                raise Failure("nothing was erased: the name is another")
        erased.dry_run = False
        erasure.run(erased)
    if as_json:
        display.show_json(asdict(erased))
    else:
        _show(erased)
    if erased.left or erased.remains:
        raise Failure("some documents are not yet gone, or were uploaded again meanwhile: run this again")
    if erased.unreadable and not dry_run:
        raise Failure(f"delete the unreadable receipts from {ctx.obj.receipts_table} yourself: they may quote it")


class Erasure:
    """The steps of one erasure, in the order of `stores`. After a `Failure`, run it again.

    A step returns the number that it erased, or found in a dry run; None where the settings do not name the store.
    """

    def __init__(self, settings: Settings, key: str | None, prefix: str | None) -> None:
        from docwell.adapters.s3 import S3Versions

        self._settings = settings
        self._versions = S3Versions(s3_client(settings), settings.need("bucket"))
        self._function = ReconcileFunction(settings)
        self._key, self._prefix = key, prefix
        # The ledger's rows go last, so that another run finds the documents.
        self.stores: dict[str, Callable[[Erased], int | None]] = {
            "versions": self._erase_versions,
            "chunks": self._erase_chunks,
            "receipts": self._erase_receipts,
            "audit_events": self._erase_names,
            "chroma_file": self._rewrite_chroma,
            "ledger_rows": self._erase_rows,
        }

    def survey(self) -> Erased:
        """Return the documents and counts to erase, without changing anything."""
        keys = {*([self._key] if self._key else []), *(version.key for version in self._stored())}
        answers = self._calls("check", sorted(keys), self._prefix)
        documents = sorted({key for answer in answers for key in answer["keys"]})
        erased = Erased(datetime.now(UTC).isoformat(timespec="seconds"), documents)
        erased.erased = {name: step(erased) for name, step in self.stores.items()}
        return erased

    def run(self, erased: Erased) -> None:
        """Erase from each store, search all of them, and complete the report."""
        record(self._settings, Action.ERASED, documents=frozenset(map(pseudonym, erased.documents)))
        erased.erased = {name: step(erased) for name, step in self.stores.items()}
        search = replace(erased, dry_run=True)
        erased.remains = {name: count for name, step in self.stores.items() if (count := step(search))}

    def _stored(self) -> list[StoredVersion]:
        with plain_failures("cannot list the versions"):
            return self._versions.under(self._prefix) if self._prefix else self._versions.of(str(self._key))

    def _erase_versions(self, erased: Erased) -> int:
        stored = self._stored()
        if not erased.dry_run:
            with plain_failures("cannot delete the versions"):
                self._versions.erase(stored)
        return len(stored)

    def _erase_chunks(self, erased: Erased) -> int:
        """Ask ingest to remove the chunks until none is left, or the time is up."""
        deadline = time.monotonic() + (self._settings.timeout_s or LONGEST_WAIT_S)
        next_hint, after = 0.0, Counter[str]()
        before = Counter(ChainMap(*(answer["chunks"] for answer in self._calls("check", erased.documents))))
        while not erased.dry_run:
            hint = time.monotonic() >= next_hint
            answers = list(self._calls("check", erased.documents, self._prefix, hint=hint))
            next_hint = time.monotonic() + _HINT_EVERY_S if hint else next_hint
            erased.left = [key for answer in answers for key in answer["left"]]
            after = Counter(ChainMap(*(answer["chunks"] for answer in answers)))
            if not erased.left or time.monotonic() > deadline:
                break
            time.sleep(_PAUSE_S)
        return (before - after).total()

    def _erase_receipts(self, erased: Erased) -> int | None:
        from docwell.adapters.dynamodb.receipts import erase_receipts

        if not (table := self._settings.receipts_table):
            return None
        with plain_failures("cannot delete the receipts"):
            client = aws_client(self._settings, "dynamodb")
            count, damaged = erase_receipts(client, table, erased.documents, self._prefix, dry_run=erased.dry_run)
        erased.unreadable = damaged
        return count

    def _erase_names(self, erased: Erased) -> int | None:
        if not self._settings.audit_table:
            return None
        with plain_failures("cannot change the audit trail"):
            return audit_trail(self._settings).erase(erased.documents, self._prefix, dry_run=erased.dry_run)

    def _rewrite_chroma(self, erased: Erased) -> int | None:
        """Empty Chroma's log, and rewrite its file where the settings name its folder."""
        from docwell.adapters.chroma_file import vacuum

        folder, is_last = self._settings.chroma_folder, not (erased.dry_run or erased.left)
        if is_last:
            list(self._calls("flush", erased.documents))
        if is_last and folder:
            with plain_failures("everything else is erased"):
                vacuum(Path(folder))
        return 0 if folder else None

    def _erase_rows(self, erased: Erased) -> int:
        if erased.left and not erased.dry_run:
            return 0
        step = "check" if erased.dry_run else "forget"
        return sum(answer["rows"] for answer in self._calls(step, erased.documents))

    def _calls(
        self, step: str, keys: Sequence[str], prefix: str | None = None, *, hint: bool = False
    ) -> Iterator[Json]:
        """Yield the function's answers for batches of the keys; the first call also searches for the prefix."""
        for start in range(0, max(len(keys), 1), _KEYS_AT_ONCE):
            event = {"action": "erase", "step": step, "keys": [*keys[start : start + _KEYS_AT_ONCE]], "hint": hint}
            yield self._function({**event, "prefix": prefix if start == 0 else None})


def _show(erased: Erased, *, err: bool = False) -> None:
    display.show_fields(asdict(erased), err=err)
    if unnamed := ", ".join(name for name, count in erased.erased.items() if count is None):
        display.say(f"not erased, because the settings do not name them: {unnamed}", "yellow", err=True)


@app.command()
def audit(
    ctx: typer.Context,
    *,
    document: Annotated[str | None, option("KEY", "Only events of this document.")] = None,
    actor: Annotated[str | None, option("ID", "Only events of this actor, such as key:ID or aws:ARN.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List who asked, which documents were cited, who changed a grant and who erased. Oldest first."""
    with plain_failures("cannot read the audit trail"):
        trail = audit_trail(ctx.obj).events(actor, document)
    events = [{**asdict(event), "documents": sorted(event.documents)} for event in trail]
    if as_json:
        display.show_json({"events": events})
    else:
        names = ("actor", "action", "subject", "documents", "request_id")
        texts = [{**event, "documents": ", ".join(event["documents"])} for event in events]
        rows = [[display.local_time(event["at"]), *(event[name] or "" for name in names)] for event in texts]
        display.show_table(("time", *names), rows, empty="no events match")


def record(
    settings: Settings, action: Action, *, subject: str | None = None, documents: frozenset[str] = frozenset()
) -> None:
    """Add an event of this operator to the trail; without a table, print that nothing is recorded."""
    if not settings.audit_table:
        display.say("not recorded: the settings name no audit_table", err=True)
        return
    with plain_failures(f"{action.value}, but not recorded in the audit trail"):
        # The local stack has one key for all users of the machine.
        operator = f"os:{getpass.getuser()}"
        if not settings.local:
            operator = f"aws:{aws_client(settings, 'sts').get_caller_identity()['Arn']}"
        audit_trail(settings).append(AuditEvent(operator, action, documents, subject))


def audit_trail(settings: Settings) -> DynamoAudit:
    """Return the trail. Raises `Failure` without a table in the settings."""
    from docwell.adapters.dynamodb.audit import DynamoAudit

    return DynamoAudit(aws_client(settings, "dynamodb"), settings.need("audit_table"))
