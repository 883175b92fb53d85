"""`docwell doctor` on a fake API and moto: each ill part has its page, and a healthy system exits with 0."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import boto3
import pytest

from docwell.version import VERSION
from tests.unit.adapters.model_hosts import OLLAMA, Host, stream, whole
from tests.unit.cases import rows
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import FakeApi

ANSWERS = rows(__file__, "model_answers")
CASES = tomllib.loads(Path(__file__).with_name("doctor.toml").read_text())


@pytest.mark.parametrize("row", CASES["case"], ids=lambda row: row["case"])
def test_an_ill_part_has_the_page_with_its_fix(
    run: Run, api: FakeApi, aws: None, monkeypatch: pytest.MonkeyPatch, row: dict[str, Any]
) -> None:
    monkeypatch.setattr("docwell.cli.doctor.time.time", lambda: float(row.get("now", 1_000_000)))
    queue = boto3.client("sqs").create_queue(QueueName="ingest")["QueueUrl"]
    monkeypatch.setenv("DOCWELL_QUEUE", row.get("queue", queue))
    messages: Any = [{"Id": str(number), "MessageBody": "{}"} for number in range(10)]
    boto3.client("sqs").send_message_batch(QueueUrl=queue, Entries=messages[: row.get("messages", 1)])
    api.others["/v1/openapi.json"] = {"info": {"version": row.get("version", VERSION)}}
    api.others["/v1/ready"] = {"dependencies": row.get("ready", {"chroma": "ok"})}
    api.others["/v1/status"] = {"model": "qwen3:8b", "demo_model": False, "model_host": row.get("host", "asleep")}
    api.others["/v1/operations"] = CASES["well"] | row.get("operations", {})
    if row.get("stack"):
        topic = boto3.client("sns").create_topic(Name="alarms")["TopicArn"]
        output = {"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}, "Outputs": {"AlarmTopic": {"Value": topic}}}
        for name in ("docwell-team", "docwell-team-app"):
            boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(output))
    texts = [*ANSWERS[2 : 2 + row.get("right", 0)], "NOT FOUND"]
    says = [stream(OLLAMA.piece(text), OLLAMA.last("stop", 900, 20)) for text in texts]
    refuses = [whole("400 Bad Request", {"error": row["refuses"]})] if "refuses" in row else []
    server = Host(*refuses, *says)
    result = run("doctor", "--host", server.url, *(["--stack", "docwell-team"] if "stack" in row else []), api=api)
    server.close()
    pages = {word.partition("#")[2] for word in result.stdout.split() if word.startswith("docs/")}
    assert ("certificate" in result.stdout, "queue" in result.stdout) == (bool(row.get("stack")), True)
    assert (pages, result.exit_code) == (set(row["pages"]), int(bool(row["pages"]))), result.output
    assert row.get("refuses", "") in result.output
    assert ("AWS" in result.output) == (row.get("stack") is False)
