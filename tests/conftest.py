"""The environment that every test needs before docwell is imported."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader

# Powertools reads these variables when its objects are made. Fake credentials: no test may reach a real account.
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

# Cache: each boto3 session parses its service descriptions anew, half the time of the tests that use moto.
_parse = cache(JSONFileLoader().load_file)


def _parse_once(self: JSONFileLoader, file_path: str) -> Any:
    return _parse(file_path)


JSONFileLoader.load_file = _parse_once  # type: ignore[method-assign]


# Servers that start once in a run, by fixture: one process runs all test files that use the same server.
_SERVERS = {"doors": "the local stack", "chroma_url": "Chroma", "aws_server": "AWS"}


@cache
def _group_of(name: str) -> str:
    words = set(re.findall(r"\w+", Path(__file__).parents[1].joinpath(name).read_text("utf-8")))
    return next((group for fixture, group in _SERVERS.items() if fixture in words), name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole files, and all files that share a server to one process.

    xdist 3.8 writes groups into a field of an item that pytest 9.2 does not read, so its loadgroup splits files.
    """
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped] # ships no types

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda nodeid: _group_of(nodeid.partition("::")[0])
    return scheduler
