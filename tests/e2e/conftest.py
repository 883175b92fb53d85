"""One local stack per session, used through its bucket and its API."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

import benchmarks.doors
from docwell.models import FINAL
from infra.local.stack import Stack
from infra.local.supervisor import running_stack
from tests.stack_logs import assert_no_traceback

# The smallest model that follows the protocol: tests check structure and sources, not prose.
MODEL = os.environ.get("DOCWELL_TEST_MODEL", "smollm2:135m")
# A killed worker's message is redelivered after this time; the default is 60 s.
SETTINGS = {"DOCWELL_VISIBILITY_S": "15", "DOCWELL_PASSAGE_TOKENS": "350"}


@dataclass
class Doors:
    """The bucket and the API of a running stack."""

    stack: Stack
    through: benchmarks.doors.Doors
    http: httpx.Client = field(init=False)
    s3: Any = field(init=False)

    def __post_init__(self) -> None:
        self.http = self.stack.http(150)
        self.s3 = self.stack.client("s3")

    def put(self, key: str, body: bytes | Path) -> str:
        """Upload a document and return its version."""
        return self.through.put(key, body)

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.stack.bucket, Key=key)

    def document(self, key: str) -> dict[str, Any] | None:
        return self.through.document(key)

    def settled(self, key: str, version: str | None, timeout_s: float = 120) -> dict[str, Any]:
        """Wait for a final status of that version (None: for the deletion) and return the document."""
        deadline = time.monotonic() + timeout_s
        document = None
        while time.monotonic() < deadline:
            document = self.document(key)
            if document and document["status"] in FINAL:
                if version is None and document["status"] == "DELETED":
                    return document
                if version is not None and document["version"] == version:
                    return document
            time.sleep(0.1)
        raise AssertionError(f"{key} did not settle: {document}")

    def ask(self, question: str, **more: Any) -> httpx.Response:
        return self.http.post("/v1/query", json={"question": question, **more})


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    data = tmp_path_factory.mktemp("stack")
    with (
        running_stack(data, MODEL, environment=SETTINGS) as stack,
        benchmarks.doors.Doors(stack, timeout_s=150) as through,
    ):
        doors = Doors(stack, through)
        yield doors
        doors.http.close()
    assert_no_traceback(data / "logs")
