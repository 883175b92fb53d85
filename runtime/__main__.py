"""``python -m runtime ingest | query | reconcile | events``: docwell's functions without Lambda."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module

from docwell.config import (
    AuthorizerSettings,
    EventsSettings,
    IngestSettings,
    QuerySettings,
    ReconcileSettings,
    Settings,
    SettingsError,
)
from runtime.process import end_with_any_thread
from runtime.settings import ScrapedSettings, ServerSettings, StreamSettings, WorkerSettings, problems_of

# By command: its help line, the runtime's settings, and the settings of its functions.
_COMMANDS: Mapping[str, tuple[str, type[Settings], tuple[type[Settings], ...]]] = {
    "ingest": ("index the documents that SQS messages name, until SIGTERM", WorkerSettings, (IngestSettings,)),
    "query": ("serve the HTTP API, until SIGTERM", ServerSettings, (QuerySettings, AuthorizerSettings)),
    "reconcile": (
        "compare bucket, ledger and index once, and send what is missing to ingest",
        ScrapedSettings,
        (ReconcileSettings,),
    ),
    "events": ("send the events about documents, until SIGTERM", StreamSettings, (EventsSettings,)),
}


def _variable(name: str) -> str:
    return f"DOCWELL_{name.upper()}"


def _help(runtime_settings: type[Settings], functions: tuple[type[Settings], ...]) -> str:
    """Return the part of a command's help about environment variables."""
    fields = {
        name: field
        for settings in functions
        for name, field in settings.model_fields.items()
        if field.is_required()
    }
    lines = ["required variables:", *(f"  {_variable(name)}" for name in fields), "  AWS_REGION"]
    lines += ["", "variables of this command, and their defaults:"]
    for name, field in runtime_settings.model_fields.items():
        default = "-" if field.default in (None, "") else field.default
        lines.append(f"  {_variable(name):<28} {default:<6} {field.description}")
    lines += ["", "docwell/config.py lists the other variables. Credentials come from AWS's own variables."]
    return "\n".join(lines)


def _set_region() -> list[str]:
    """Set both region variables, because boto3 reads only the second. Return the problem if neither is set."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        return ["AWS_REGION: Field required"]
    os.environ |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    return []


def main() -> int:
    """Run a command. Return 0, 1 when it failed, or 2 for wrong usage or a wrong setting.

    SIGTERM ends it with 143, unless the command handles SIGTERM.
    """
    threading.excepthook = end_with_any_thread
    parser = argparse.ArgumentParser(prog="python -m runtime", description="docwell's functions without Lambda")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (line, runtime_settings, functions) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=line,
            description=line,
            epilog=_help(runtime_settings, functions),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument(
            "--handler", default=f"functions.{name}.handler.handler", help="the function, %(default)s by default"
        )
    options = parser.parse_args()
    _, runtime_settings, functions = _COMMANDS[options.command]
    if problems := [*_set_region(), *problems_of((runtime_settings, *functions))]:
        for problem in problems:
            print(f"wrong setting: {problem}", file=sys.stderr)
        return 2
    # Handle SIGTERM: as process 1 of a container, this process would ignore an unhandled signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    run: Callable[[str], int] = import_module(f"runtime.{options.command}").run
    try:
        return run(options.handler)
    except (SettingsError, OSError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
