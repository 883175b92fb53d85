"""End the process when one of its threads fails."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading


def end_with_any_thread(failed: threading.ExceptHookArgs) -> None:
    """End the process when a thread fails: otherwise it would look healthy. For `threading.excepthook`."""
    traceback.print_exception(failed.exc_type, failed.exc_value, failed.exc_traceback)
    os._exit(1)
