"""The environment that every test needs before docwell is imported."""

from __future__ import annotations

import os

# Powertools reads these when its objects are made. No test may reach a real account.
os.environ.update(
    {
        "POWERTOOLS_SERVICE_NAME": "docwell-test",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
)
os.environ.pop("AWS_PROFILE", None)
