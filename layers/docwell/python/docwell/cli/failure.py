"""The exit codes, and the exception that ends a command with one line."""

from __future__ import annotations

from enum import IntEnum

from docwell.errors import DocwellError


class ExitCode(IntEnum):
    """The exit status of a command. `docwell --help` lists them."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_INDEXED = 3
    REFUSED = 4
    WORSE = 5


class Failure(DocwellError):  # noqa: N818 - a refused command is not always an error
    """Ends the command: `docwell.cli.command` prints `detail` as one line and exits with `code`."""

    def __init__(self, detail: str, code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(detail)
        self.code = code


class Busy(Failure):
    """The server takes no request now, so a later one may succeed. `retry_after`: seconds, None if unknown."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
