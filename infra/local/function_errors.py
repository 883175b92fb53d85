"""How a call of a local function can fail.

::

FunctionError
├── FunctionRaised      the handler raised, or its answer is over Lambda's limit or malformed
├── FunctionTimedOut    no answer in time, or not the whole of it; the environment was killed
├── FunctionCrashed     the process ended without an answer, or in the middle of it
│   └── FunctionInitFailed   … while the module was being imported
└── FunctionBusy        every environment is at work and the line is full
"""

from __future__ import annotations


class FunctionError(Exception):
    """Root of the tree."""


class FunctionRaised(FunctionError):  # noqa: N818 - the tree reads better without Error on each name
    """The handler raised `type`."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(f"{type_}: {message}")
        self.type = type_


class FunctionTimedOut(FunctionError):  # noqa: N818
    """No answer in time."""


class FunctionCrashed(FunctionError):  # noqa: N818
    """The process ended without an answer. The message has its last line of output."""


class FunctionInitFailed(FunctionCrashed):
    """The handler's module cannot be imported."""


class FunctionBusy(FunctionError):  # noqa: N818
    """Try again in `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("every environment of the function is at work and the line is full")
        self.retry_after = retry_after
