"""How a command ends: the exit codes, and the one exception that becomes a plain line for the user."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script can tell from the exit status. `docwell --help` lists them."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_INDEXED = 3
    REFUSED = 4


class Failure(Exception):  # noqa: N818 - it is the user's word for it, and is never shown
    """Ends the command with one line on standard error. `status` is the HTTP status where there was one."""

    def __init__(self, message: str, code: ExitCode = ExitCode.ERROR, status: int | None = None) -> None:
        # One line, whatever a library put into its message.
        super().__init__(" ".join(message.split()))
        self.code = code
        self.status = status
