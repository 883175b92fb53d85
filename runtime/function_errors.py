"""The errors of a call of a function.

::

FunctionError
├── FunctionRaised      the handler raised, or its answer is malformed or over Lambda's limit
├── FunctionTimedOut    no complete answer in time; the environment was killed
├── FunctionCrashed     the process ended before the answer was complete
│   ├── FunctionInitFailed   … while it imported the module
│   └── FunctionStopped      … because its pool was closed
└── FunctionBusy        every environment is busy and the queue is full
"""

from __future__ import annotations


class FunctionError(Exception):
    """Root of the tree."""


class FunctionRaised(FunctionError):
    """The handler raised `type`."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(f"{type_}: {message}")
        self.type = type_


class FunctionTimedOut(FunctionError):
    """The function gave no complete answer in time."""


class FunctionCrashed(FunctionError):
    """The process ended before the answer was complete. The message has its last line of output."""


class FunctionInitFailed(FunctionCrashed):
    """The import of the handler's module failed."""


class FunctionStopped(FunctionCrashed):
    """The pool of the function was closed. The call says nothing about its event."""


class FunctionBusy(FunctionError):
    """Every environment is busy and the queue is full. Try again in `retry_after` seconds."""

    retry_after = 5
