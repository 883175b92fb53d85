"""What template.yaml promises, and that it fits the code's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import decode  # type: ignore[import-untyped] # ships no types

from docwell.config import IngestSettings, QuerySettings, ReconcileSettings
from docwell.reindex import FORGET_AFTER_S

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    content, problems = decode(str(ROOT / "template.yaml"))
    assert not problems
    assert isinstance(content, dict)
    return content


def properties(template: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def variables(template: dict[str, Any], function: str) -> dict[str, Any]:
    shared = template["Globals"]["Function"]["Environment"]["Variables"]
    return {**shared, **properties(template, function)["Environment"]["Variables"]}


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        ("IngestFunction", IngestSettings),
        ("QueryFunction", QuerySettings),
        ("ReconcileFunction", ReconcileSettings),
    ],
)
def test_a_function_gets_each_setting_it_needs_and_none_that_it_would_not_read(
    template: dict[str, Any], function: str, settings: type[IngestSettings | QuerySettings | ReconcileSettings]
) -> None:
    given = {name for name in variables(template, function) if name.startswith("DOCWELL_")}
    known = {f"DOCWELL_{name.upper()}": field for name, field in settings.model_fields.items()}
    assert given <= set(known)
    assert {name for name, field in known.items() if field.is_required()} <= given


def test_a_message_stays_hidden_for_six_times_the_functions_time_limit(template: dict[str, Any]) -> None:
    timeout = properties(template, "IngestFunction")["Timeout"]
    assert properties(template, "IngestQueue")["VisibilityTimeout"] >= 6 * timeout


def test_the_worker_knows_which_receive_is_the_last(template: dict[str, Any]) -> None:
    receives = properties(template, "IngestQueue")["RedrivePolicy"]["maxReceiveCount"]
    assert int(variables(template, "IngestFunction")["DOCWELL_MAX_RECEIVES"]) == receives


def test_all_functions_take_the_same_pipelines(template: dict[str, Any]) -> None:
    names = ("DOCWELL_CHUNK_TOKENS", "DOCWELL_NEXT_CHUNK_TOKENS")
    functions = ("IngestFunction", "QueryFunction", "ReconcileFunction")
    assert len({str([variables(template, one).get(name) for name in names]) for one in functions}) == 1
    default = template["Parameters"]["ChunkTokens"]["Default"]
    assert default == IngestSettings.model_fields["chunk_tokens"].default


def test_who_writes_to_the_queue_knows_its_address_and_may(template: dict[str, Any]) -> None:
    for function in ("IngestFunction", "ReconcileFunction"):
        assert variables(template, function)["DOCWELL_QUEUE_URL"] == {"Ref": "IngestQueue"}
        statements = properties(template, function)["Policies"][0]["Statement"]
        allowed = [
            one["Action"] for one in statements if one["Resource"] == {"Fn::GetAtt": ["IngestQueue", "Arn"]}
        ]
        assert "sqs:SendMessage" in allowed[0]


def test_nobody_is_stuck_while_the_ingest_function_may_still_work(template: dict[str, Any]) -> None:
    timeout = properties(template, "IngestFunction")["Timeout"]
    assert ReconcileSettings.model_fields["stuck_after_s"].default > timeout
    assert timeout < FORGET_AFTER_S


def test_the_query_function_answers_before_the_gateway_gives_up(template: dict[str, Any]) -> None:
    timeout = properties(template, "QueryFunction")["Timeout"]
    assert QuerySettings.model_fields["deadline_s"].default < timeout <= 29


def test_the_scratch_disk_holds_the_largest_document_twice(template: dict[str, Any]) -> None:
    megabytes = properties(template, "IngestFunction")["EphemeralStorage"]["Size"]
    assert megabytes * 1024**2 >= 2 * IngestSettings.model_fields["max_document_bytes"].default


def test_nothing_that_an_image_function_forbids_is_global(template: dict[str, Any]) -> None:
    assert not {"Runtime", "Handler", "Layers", "PackageType"} & set(template["Globals"]["Function"])


def test_the_api_is_closed_without_a_key(template: dict[str, Any]) -> None:
    assert properties(template, "Api")["Auth"]["ApiKeyRequired"] is True
