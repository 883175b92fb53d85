"""The exit codes, and the exception that ends a command with one line."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit status of a command. `docwell --help` lists them."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_INDEXED = 3
    REFUSED = 4


class Failure(Exception):  # noqa: N818 - a refused command is not always an error
    """Ends the command: `docwell.cli.command` prints the message as one line and exits with `code`.

    `status` is the HTTP status, for failures of the API.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.ERROR, status: int | None = None) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code
        self.status = status
