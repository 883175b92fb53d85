"""Where the API and the bucket are: flags, environment, settings file, then a local stack that runs.

A settings file is `docwell.toml` in the current folder, else `~/.config/docwell/config.toml`::

    endpoint = "https://abc123.execute-api.eu-central-1.amazonaws.com/prod"
    bucket = "my-documents"

    [profiles.staging]          # docwell --profile staging: these instead of the ones above
    bucket = "my-documents-staging"
    aws_profile = "staging"     # credentials are AWS's own business: this names a profile of theirs
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from docwell.cli.failure import ExitCode, Failure

_HOW = (
    "start the local stack with `make up`, or give --endpoint and --bucket"
    " (or DOCWELL_ENDPOINT and DOCWELL_BUCKET, or a docwell.toml)"
)
# What only an operator's commands need.
_OPERATIONS = {
    "queue": "give --queue, DOCWELL_QUEUE or queue in docwell.toml: the stack's output IngestQueueUrl",
    "reconcile_function": "give --function, DOCWELL_RECONCILE_FUNCTION or reconcile_function in docwell.toml:"
    " the stack's output ReconcileFunction",
    "principals_table": "give --table, DOCWELL_PRINCIPALS_TABLE or principals_table in docwell.toml:"
    " the stack's output PrincipalsTable",
}
_PANEL = "Connection"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to send things. `local` says that they come from a stack on this machine."""

    endpoint: str | None = None
    bucket: str | None = None
    aws_endpoint: str | None = None
    region: str | None = None
    api_key: str | None = field(default=None, repr=False)
    aws_profile: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    queue: str | None = None
    reconcile_function: str | None = None
    principals_table: str | None = None
    usage_plan: str | None = None
    functions_endpoint: str | None = None
    local: bool = False

    def need(self, name: str) -> str:
        """The setting's value. Raises `Failure` that says how to give it."""
        value: str | None = getattr(self, name)
        if not value:
            raise Failure(f"no {name}: {_OPERATIONS.get(name, _HOW)}", ExitCode.USAGE)
        return value


# What a file may hold: credentials stay in AWS's own files.
_FILE_KEYS = {item.name for item in fields(Settings)} - {"access_key", "secret_key", "local"}


def find_settings(
    *,
    endpoint: Annotated[
        str | None,
        typer.Option(envvar="DOCWELL_ENDPOINT", help="Address of the HTTP API.", rich_help_panel=_PANEL),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option(envvar="DOCWELL_BUCKET", help="The documents bucket.", rich_help_panel=_PANEL),
    ] = None,
    aws_endpoint: Annotated[
        str | None,
        typer.Option(
            envvar=["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
            help="Address of S3 where it is not AWS's own.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="DOCWELL_API_KEY", help="Sent as x-api-key.", rich_help_panel=_PANEL),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="AWS region.", rich_help_panel=_PANEL),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(envvar="DOCWELL_PROFILE", help="A profile of the settings file.", rich_help_panel=_PANEL),
    ] = None,
) -> Settings:
    """The settings of this run; the parameters are the flags. Raises `Failure` for a wrong file."""
    given = {
        "endpoint": endpoint,
        "bucket": bucket,
        "aws_endpoint": aws_endpoint,
        "api_key": api_key,
        "region": region,
    }
    merged = _from_file(profile) | {name: value for name, value in given.items() if value}
    if "endpoint" not in merged:
        # Never one part from a deployed stack and another from the local one by accident: the stack
        # is asked only where no API was named, and its credentials go with it.
        merged = _from_stack() | merged
    return Settings(**merged)


def _from_file(profile: str | None) -> dict[str, Any]:
    candidates = (Path("docwell.toml"), Path.home() / ".config" / "docwell" / "config.toml")
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        if profile:
            raise Failure(f"no settings file has a profile {profile!r}: there is no file", ExitCode.USAGE)
        return {}
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{path} cannot be read: {error}", ExitCode.USAGE) from None
    profiles = content.pop("profiles", {})
    if profile:
        profiles = profiles if isinstance(profiles, dict) else {}
        if not isinstance(profiles.get(profile), dict):
            known = ", ".join(profiles) or "none"
            raise Failure(f"{path} has no profile {profile!r} (it has: {known})", ExitCode.USAGE)
        content |= profiles[profile]
    for name, value in content.items():
        if name not in _FILE_KEYS:
            known = ", ".join(sorted(_FILE_KEYS))
            raise Failure(f"{path}: {name!r} is not a setting (these are: {known})", ExitCode.USAGE)
        if not isinstance(value, str):
            raise Failure(f"{path}: {name} must be a string", ExitCode.USAGE)
    return content


def _from_stack() -> dict[str, Any]:
    here = Path.cwd()
    files = (folder / ".docwell" / "stack.json" for folder in (here, *here.parents))
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        return {}
    try:
        stack = json.loads(path.read_text("utf-8"))
        running = _is_running(int(stack["pid"]))
        found = {
            "endpoint": stack["gateway"],
            "bucket": stack["bucket"],
            "aws_endpoint": stack["aws_endpoint"],
            "region": stack["region"],
            "access_key": stack["access_key"],
            "secret_key": stack["secret_key"],
            "queue": stack.get("queue"),
            "reconcile_function": stack.get("reconcile_function"),
            "api_key": stack.get("api_key"),
            "principals_table": stack.get("principals_table"),
            # Lambda's own API is served where questions are.
            "functions_endpoint": stack["gateway"],
            "local": True,
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{path} cannot be used ({error!r}): start the stack anew with `make up`") from None
    if not running:
        raise Failure(f"the local stack that {path} speaks of no longer runs: start it with `make up`")
    return found


def _is_running(pid: int) -> bool:
    if os.name != "posix":  # signal 0 is a question on POSIX alone; elsewhere it would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
