"""The entry point of the image: load the model and start the fork server beside the imports of the handler."""

from __future__ import annotations

from importlib import import_module

from docwell.garbage import uncollected
from docwell.wiring.ingest import begin

with uncollected():
    begin()
    handler = import_module("handler").handler
