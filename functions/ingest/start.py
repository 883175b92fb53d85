"""The entry point of the image: load the model and start the fork server while the handler is imported.

Lambda imports it, so it does its work at the import.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

# Once Pydantic is imported, this also imports Powertools' models of other event sources: 30 ms of a start.
import aws_lambda_powertools.utilities.batch  # noqa: F401 - the handler uses it

from docwell.garbage import uncollected
from docwell.wiring.ingest import begin

with uncollected():
    # Each message raises the error again, and is then redelivered soon. An error here would hide messages for the
    # queue's visibility timeout.
    with suppress(Exception):
        begin()
    handler = import_module("handler").handler
