"""The environment that every test needs before docwell is imported."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader

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

# Each session of boto3 parses the descriptions of its services anew: half the time of the tests that use moto.
_parse = cache(JSONFileLoader().load_file)


def _parse_once(self: JSONFileLoader, file_path: str) -> Any:
    return _parse(file_path)


JSONFileLoader.load_file = _parse_once  # type: ignore[method-assign]


# Servers that start once in a run: their tests stay with one process of `--dist loadgroup`.
_SERVERS = {"doors": "the local stack", "chroma_url": "Chroma", "aws_server": "AWS"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests by the server that they share, else by their file, whose fixtures they share."""
    for item in items:
        servers = [group for name, group in _SERVERS.items() if name in getattr(item, "fixturenames", ())]
        item.add_marker(pytest.mark.xdist_group(servers[0] if servers else item.nodeid.partition("::")[0]))
