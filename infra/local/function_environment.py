"""Which of this process's variables the functions get: docwell's, AWS's and Powertools', as in a template."""

from __future__ import annotations

import os

PREFIXES = ("DOCWELL_", "AWS_", "POWERTOOLS_")


def function_environment() -> dict[str, str]:
    """The variables for `FunctionSpec.environment`."""
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}
