"""Changes to moto's queues, for thousands of messages and several threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from moto.sqs.models import Message, Queue

_delete = Queue.delete_message


def patch_queues() -> None:
    """Change moto's queues in this process.

    A receive then reads only the messages that it takes. A delete loses no message that arrives beside it.
    """
    patched: Any = Queue
    patched.messages, patched.delete_message = property(_Visible), _delete_message


class _Visible(Iterable[Message]):
    """The messages that a receive may return."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def __iter__(self) -> Iterator[Message]:
        # A message that moves to the dead letters meanwhile may hide one, which the next receive gets.
        return (one for one in self._queue._messages if one.visible and not one.delayed)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _delete_message(queue: Queue, receipt_handle: str) -> None:
    with queue._messages_lock:
        _delete(queue, receipt_handle)
