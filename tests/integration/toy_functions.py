"""Handlers for the tests of the local Lambda, gateway and poller, as `toy_functions.NAME`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from docwell.http import sse
from docwell.http.streaming import StreamedResponse


def echo(event: Any, context: Any) -> dict[str, Any]:
    return {
        "event": event,
        "pid": os.getpid(),
        "request_id": context.aws_request_id,
        "left_ms": context.get_remaining_time_in_millis(),
        "arn": context.invoked_function_arn,
    }


def raises(event: Any, context: Any) -> None:
    raise ValueError("this is wrong")


def dies(event: Any, context: Any) -> None:
    sys.stdout.write("the last thing that it says\n")
    sys.stdout.flush()
    os._exit(3)


def sleeps(event: Any, context: Any) -> dict[str, int]:
    """Start a child process, as the PDF reader does, and log both process ids."""
    grandchild = subprocess.Popen(["sleep", "600"], start_new_session=True)
    if "pids" in event:
        Path(event["pids"]).write_text(f"{os.getpid()} {grandchild.pid}", encoding="ascii")
    time.sleep(event.get("seconds", 600))
    grandchild.kill()
    grandchild.wait()
    return {"pid": os.getpid()}


def proxy(event: Any, context: Any) -> Any:
    """Return a REST proxy answer with the event. Some paths misbehave."""
    if event["path"] == "/malformed":
        return "only text"
    if event["path"] == "/slow":
        time.sleep(600)
    if event["path"] == "/busy":
        time.sleep(1)
    if event["path"] == "/binary":
        return {"statusCode": 200, "body": "AAH/", "isBase64Encoded": True, "headers": {"Content-Type": "a/b"}}
    return {
        "statusCode": 201,
        "headers": {"X-One": "1"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
        "body": json.dumps(event),
    }


def ingest(event: Any, context: Any) -> Any:
    """Log every record. Its body decides the outcome: `fail`, `raise` or success."""
    failures = []
    for record in event["Records"]:
        body = record["body"]
        with Path(os.environ["DOCWELL_TOY_LOG"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if body == "raise":
            raise ValueError(body)
        if body == "slow":
            time.sleep(4)
        if body == "fail":
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _noted(text: str) -> None:
    with Path(os.environ["DOCWELL_TOY_LOG"]).open("a", encoding="utf-8") as file:
        file.write(f"{time.time():.3f} {text}\n")


def _pieces(event: Any) -> Generator[bytes]:
    """Yield pieces at an interval, and log when each is created and how the stream ends.

    With `gates`, a folder, each waits for the file there that has its number.
    """
    try:
        for number in range(event.get("pieces", 3)):
            if number:
                time.sleep(event.get("pause", 0))
            while "gates" in event and not (Path(event["gates"]) / str(number)).exists():
                time.sleep(0.01)
            _noted(f"made {number}")
            yield sse.event("token", {"text": str(number), "made": time.time(), "pid": os.getpid()})
        if event.get("fails"):
            raise ValueError("half-way")
        if event.get("dies"):
            os._exit(4)
        _noted("whole")
    except GeneratorExit:
        _noted("closed")
        raise


def streams(event: Any, context: Any) -> Any:
    """Return the stream that the event describes. A gateway's event describes it in the body."""
    if event.get("body"):
        event = json.loads(event["body"])
    if "raises" in event:
        raise ValueError(f"wrong: {event['raises']}")
    if event.get("plain"):
        return {"pid": os.getpid()}
    time.sleep(event.get("thinks", 0))
    if event.get("proxy"):
        return {"statusCode": 201, "multiValueHeaders": {"X-Two": ["1", "2"]}, "body": "é\0"}
    if "megabytes" in event:
        body = (bytes([97 + number % 26]) * 1024 * 1024 for number in range(event["megabytes"]))
        return StreamedResponse(200, {"Content-Type": "text/plain"}, body)

    def afterwards() -> None:
        time.sleep(event.get("lingers", 0))
        _noted("afterwards")

    headers = {"Content-Type": sse.CONTENT_TYPE}
    return StreamedResponse(event.get("status", 200), headers, _pieces(event), afterwards)
