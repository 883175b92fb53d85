"""The settings of the commands, and the failure that ends a command with one line.

Settings come from flags, the environment, a settings file, else a running local stack. The file is `docwell.toml`
in the current folder, else `~/.config/docwell/config.toml`::

    endpoint = "https://abc123.execute-api.eu-central-1.amazonaws.com/live"
    bucket = "my-documents"
    aws_profile = "staging"     # a profile of the AWS credentials file
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from docwell.errors import DocwellError

_CONNECT = (
    "start a local stack with `make up`, or export DOCWELL_ENDPOINT, DOCWELL_API_KEY and DOCWELL_BUCKET"
    " (flags: --endpoint, --api-key, --bucket)"
)
# The stack output for each setting of an operator: DOCWELL_QUEUE, DOCWELL_RECONCILE_FUNCTION and so on.
OPERATOR = {
    "queue": "IngestQueueUrl",
    "reconcile_function": "ReconcileFunction",
    "principals_table": "PrincipalsTable",
    "usage_table": "UsageTable",
    "usage_plan": "UsagePlanId",
    "receipts_table": "ReceiptsTable",
    "audit_table": "AuditTable",
}


class ExitCode(IntEnum):
    """The exit status of a command. `docwell --help` lists them."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_INDEXED = 3
    REFUSED = 4
    WORSE = 5


class Failure(DocwellError):  # noqa: N818 - a refused command is not always an error
    """Ends the command with a line and an exit status. `retry_after`: the seconds for which a server is busy."""

    def __init__(self, detail: str, code: ExitCode = ExitCode.ERROR, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Settings:
    """Addresses, names and keys. `local`: of this machine's stack of process `pid`, `chosen_stack` of several."""

    endpoint: str | None = None
    console: str | None = None
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
    usage_table: str | None = None
    receipts_table: str | None = None
    audit_table: str | None = None
    chroma_folder: str | None = None
    usage_plan: str | None = None
    ollama: str | None = None
    ollama_token: str | None = field(default=None, repr=False)
    model: str | None = None
    functions_endpoint: str | None = None
    timeout_s: float | None = None
    local: bool = False
    pid: int | None = None
    chosen_stack: str | None = None

    def override(self, **values: object) -> Settings:
        """Return the settings, replaced by the values that are not empty."""
        changes: dict[str, Any] = {name: value for name, value in values.items() if value}
        return replace(self, **changes)

    def need(self, name: str) -> str:
        """Return the setting's value. Raises a `Failure` (usage) that explains how to set it."""
        value: str | None = getattr(self, name)
        if value:
            return value
        hint = _CONNECT
        if name in OPERATOR:
            hint = f"give DOCWELL_{name.upper()} or {name} in docwell.toml: the stack's output {OPERATOR[name]}"
        raise Failure(f"no {name}: {hint}", ExitCode.USAGE)


_REGION = ["AWS_REGION", "AWS_DEFAULT_REGION"]
# A settings file has no AWS credentials: they stay in AWS's own files.
_NOT_OF_FILE = {"access_key", "secret_key", "timeout_s", "local", "pid", "chosen_stack"}
_FILE_KEYS = {item.name for item in fields(Settings)} - _NOT_OF_FILE


def option(metavar: str, text: str, *names: str, **more: Any) -> Any:  # noqa: ANN401 - as typer.Option
    """Return an option that takes a value."""
    return typer.Option(*names, metavar=metavar, help=text, **more)


def argument(metavar: str, text: str, **more: Any) -> Any:  # noqa: ANN401 - as typer.Argument
    """Return an argument."""
    return typer.Argument(metavar=metavar, help=text, **more)


def find_settings(
    *,
    endpoint: Annotated[str | None, option("URL", "API address.", envvar="DOCWELL_ENDPOINT")] = None,
    bucket: Annotated[str | None, option("NAME", "Documents bucket.", envvar="DOCWELL_BUCKET")] = None,
    api_key: Annotated[str | None, option("KEY", "API key.", envvar="DOCWELL_API_KEY")] = None,
    region: Annotated[str | None, option("NAME", "AWS region.", envvar=_REGION)] = None,
    timeout: Annotated[float | None, option("SECONDS", "Longest wait: 30; ask 180, repairs 930.", min=0.1)] = None,
) -> Settings:
    """Return the settings of this run. The parameters are the connection flags of every command.

    Raises `Failure` for a settings file that cannot be used, or a local stack that has stopped.
    """
    values = _from_file()
    if not endpoint and "endpoint" not in values:
        # Use the local stack as a whole or not at all: a named API must not get its bucket or credentials.
        values = _from_stack() | values
    return Settings(**values).override(
        endpoint=endpoint,
        bucket=bucket,
        aws_endpoint=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
        api_key=api_key,
        region=region,
        timeout_s=timeout,
        console=os.environ.get("DOCWELL_CONSOLE"),
        **{name: os.environ.get(f"DOCWELL_{name.upper()}") for name in OPERATOR},
    )


def _from_file() -> dict[str, Any]:
    candidates = (Path("docwell.toml"), Path.home() / ".config" / "docwell" / "config.toml")
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))  # some Windows editors write a byte order mark
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {path}: {error}; correct the file", ExitCode.USAGE) from None
    for name, value in content.items():
        if name not in _FILE_KEYS:
            names = ", ".join(sorted(_FILE_KEYS))
            raise Failure(f"{path}: unknown setting {name!r}; the settings: {names}", ExitCode.USAGE)
        if not isinstance(value, str):
            raise Failure(f'{path}: {name} must be a string: write {name} = "{value}"', ExitCode.USAGE)
    return content


def stack_pointers() -> Path:
    """Return the user's folder with a file for each stack of `make up`: its data folder, then its clone's."""
    return Path.home() / ".config" / "docwell" / "local-stacks"


def _stack_files() -> list[Path]:
    """Return the files of this user's stacks: of this folder or one above, started here, then the newest."""
    if data := os.environ.get("DOCWELL_DATA"):
        folders = [Path(data)]
    else:
        here = (Path.cwd(), *Path.cwd().parents)
        pointers = sorted(
            filter(_belongs_to_user, stack_pointers().glob("*")), key=lambda path: path.stat().st_mtime
        )
        stacks = [path.read_text("utf-8", "surrogateescape").split("\n") for path in reversed(pointers)]
        # A stack that was killed has left its file: it is named only in its folder.
        stacks = [at for at in stacks if Path(at[-1]) in here or _is_running(Path(at[0]) / "stack.json")]
        stacks.sort(key=lambda stack: Path(stack[-1]) not in here)
        folders = [*(folder / ".docwell" for folder in here), *(Path(stack[0]) for stack in stacks)]
    return [path for path in dict.fromkeys(folder / "stack.json" for folder in folders) if _belongs_to_user(path)]


def _from_stack() -> dict[str, Any]:
    paths = _stack_files()
    if not paths:
        if data := os.environ.get("DOCWELL_DATA"):
            message = f"no local stack runs on {data} (DOCWELL_DATA): start it with `make up`, or unset it"
            raise Failure(message, ExitCode.USAGE)
        return {}
    path, *others = paths
    try:
        stack = json.loads(path.read_text("utf-8"))
        values = {name: stack[name] for name in ("bucket", "aws_endpoint", "region", "access_key", "secret_key")}
        values |= {key: stack.get(key) for key in ("pid", "api_key", *OPERATOR, "ollama", "ollama_token", "model")}
        values["chroma_folder"] = str(Path(stack["data"]) / "chroma") if "data" in stack else None
        values["endpoint"] = values["functions_endpoint"] = stack["gateway"]  # it also serves Lambda's API
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"cannot use {path} ({error!r}): restart the stack with `make up`") from None
    if not _is_running(path):
        raise Failure(f"the local stack of {path} no longer runs: start it with `make up`")
    return values | {"local": True, "chosen_stack": str(path.parent) if any(map(_is_running, others)) else None}


def _belongs_to_user(path: Path) -> bool:
    """Return whether the file exists and is this user's: another user could send the uploads elsewhere."""
    return path.is_file() and (os.name != "posix" or path.stat().st_uid == os.getuid())


def _is_running(path: Path) -> bool:
    """Return whether the process of a stack's file runs."""
    try:
        os.kill(int(json.loads(path.read_text("utf-8"))["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True
