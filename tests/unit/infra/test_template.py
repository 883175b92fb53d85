"""The promises of the templates, and their consistency with the code's settings."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import TypeAdapter

from docwell.config import AuthorizerSettings, IngestSettings, QuerySettings, ReconcileSettings
from docwell.http.bodies import QueryRequest
from docwell.upkeep.reindex import FORGET_AFTER_S
from infra.local import names
from runtime import gateway
from tests.unit.infra.intrinsics import NO_VALUE, Values
from tests.unit.infra.templates import APP, NESTED, TEMPLATES, content, properties, whole


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return whole()


def variables(template: dict[str, Any], function: str) -> dict[str, Any]:
    return dict(properties(template, function)["Environment"]["Variables"])


FUNCTIONS = [
    ("IngestFunction", IngestSettings),
    ("QueryFunction", QuerySettings),
    ("ReconcileFunction", ReconcileSettings),
    ("AuthorizerFunction", AuthorizerSettings),
]
# CloudFormation deletes everything else with its stack.
STORES = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::EC2::Volume")
Settings = type[IngestSettings | QuerySettings | ReconcileSettings | AuthorizerSettings]


def default_of(template: dict[str, Any], value: Any) -> Any:
    """The value of a variable with default parameters; None if only AWS knows it."""
    if isinstance(value, dict) and "Fn::If" in value:
        return None
    defaults = {name: parameter["Default"] for name, parameter in template["Parameters"].items()}
    try:
        result = Values(defaults).of(value)
    except KeyError:
        return None
    return None if result is NO_VALUE else result


@pytest.mark.parametrize(("function", "settings"), FUNCTIONS)
def test_a_function_gets_exactly_the_settings_that_it_reads(
    template: dict[str, Any], function: str, settings: Settings
) -> None:
    values = {name for name in variables(template, function) if name.startswith("DOCWELL_")}
    assert values == {f"DOCWELL_{name.upper()}" for name in settings.model_fields}


@pytest.mark.parametrize(("function", "settings"), FUNCTIONS[:-1])  # the authorizer has no defaults
def test_the_templates_defaults_are_the_codes(template: dict[str, Any], function: str, settings: Settings) -> None:
    compared = 0
    for name, field in settings.model_fields.items():
        value = default_of(template, variables(template, function)[f"DOCWELL_{name.upper()}"])
        if value in (None, "") or field.is_required() or field.default is None:
            continue
        if isinstance(field.default, str) and "table" in name:
            continue  # CloudFormation names the stack's tables
        assert TypeAdapter(type(field.default)).validate_python(value) == field.default, name
        compared += 1
    assert compared > 5


def test_a_queue_hides_a_message_long_enough_and_ingest_knows_the_last_receive(
    template: dict[str, Any],
) -> None:
    ingest = properties(template, "IngestFunction")
    for queue in (properties(template, name) for name in ("IngestQueue", "OcrQueue")):
        assert queue["VisibilityTimeout"] >= 6 * ingest["Timeout"]
        receives = ingest["Environment"]["Variables"]["DOCWELL_MAX_RECEIVES"]
        assert int(receives) == queue["RedrivePolicy"]["maxReceiveCount"]


def test_a_dead_letter_is_given_up_by_ingest_and_then_parked(template: dict[str, Any]) -> None:
    dead = properties(template, "IngestDeadLetterQueue")
    source = properties(template, "IngestFunction")["Events"]["DeadLetters"]["Properties"]
    assert source["Queue"] == {"Fn::GetAtt": ["IngestDeadLetterQueue", "Arn"]}
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert dead["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["ParkedQueue", "Arn"]}
    assert dead["RedrivePolicy"]["maxReceiveCount"] == names.MAX_DEAD_RECEIVES
    # Lambda refuses a source whose visibility timeout is shorter than the function's timeout.
    assert dead["VisibilityTimeout"] >= properties(template, "IngestFunction")["Timeout"]
    alarm = properties(template, "DeadLettersAlarm")
    assert alarm["Dimensions"][0]["Value"] == {"Fn::GetAtt": ["ParkedQueue", "QueueName"]}
    defaults = variables(template, "IngestFunction")
    assert defaults["DOCWELL_DEAD_LETTER_QUEUE_URL"] == {"Ref": "IngestDeadLetterQueue"}
    assert defaults["DOCWELL_PARKED_QUEUE_URL"] == {"Ref": "ParkedQueue"}


def test_all_functions_take_the_same_pipelines(template: dict[str, Any]) -> None:
    pipeline = ("CHUNK_TOKENS", "SHARDS")
    names = [f"DOCWELL_{part}{name}" for name in pipeline for part in ("", "NEXT_")]
    assert set(names) <= set(variables(template, "QueryFunction"))
    functions = ("IngestFunction", "QueryFunction", "ReconcileFunction")
    assert len({str([variables(template, entry).get(name) for name in names]) for entry in functions}) == 1
    fields = IngestSettings.model_fields
    index = [str(fields[name].default) for name in ("chunk_tokens", "ocr", "shards")]
    assert template["Parameters"]["Index"]["Default"] == ",".join(index)


def test_no_document_counts_as_stuck_while_ingest_may_still_work(template: dict[str, Any]) -> None:
    timeout = properties(template, "IngestFunction")["Timeout"]
    assert timeout < min(FORGET_AFTER_S, ReconcileSettings.model_fields["stuck_after_s"].default)


def test_the_query_function_answers_before_the_gateway_gives_up(template: dict[str, Any]) -> None:
    (_, asleep_s, timeout) = properties(template, "QueryFunction")["Timeout"]["Fn::If"]
    deadline_s = QuerySettings.model_fields["deadline_s"].default
    assert deadline_s < timeout <= 29
    # Where hosts sleep, a stream waits for one, and then has the whole deadline. A stream ends after 15 minutes.
    (condition, wake_s, never) = variables(template, "QueryFunction")["DOCWELL_WAKE_S"]["Fn::If"]
    assert (condition, never) == ("WaitsForHosts", "0")
    assert deadline_s + float(wake_s) < asleep_s <= 900
    # The wait counts as use: the host must not stop before it answers.
    (scaling,) = (content(path) for path in NESTED if path.stem == "ollama")
    assert properties(scaling, "HostsAreUnused")["EvaluationPeriods"] * 60 > asleep_s


def methods(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The operation of each path with one method."""
    paths = properties(template, "Api")["DefinitionBody"]["paths"]
    result = {}
    for path, item in paths.items():
        (result[path],) = item.values()
    return result


def test_every_route_but_health_and_the_description_needs_a_key_or_a_token(template: dict[str, Any]) -> None:
    result = methods(template)
    open_paths = {path for path, method in result.items() if "security" not in method}
    resource = "/.well-known/oauth-protected-resource"
    expected = {"/v1/health", "/v1/openapi.json", resource, f"{resource}/v1/mcp"}
    assert open_paths == expected == set(gateway.OPEN_PATHS)
    for path in set(result) - open_paths:
        assert result[path]["security"] == [{"authorizer": [], "api_key": []}]


def test_the_gateways_limits_never_refuse_a_request_that_the_function_accepts(template: dict[str, Any]) -> None:
    schema = properties(template, "Api")["DefinitionBody"]["components"]["schemas"]["Question"]["properties"]
    longest = int(variables(template, "QueryFunction")["DOCWELL_MAX_QUESTION_CHARACTERS"])
    assert schema["question"]["maxLength"] >= longest
    assert schema["history"]["maxItems"] >= QuerySettings.model_fields["max_history_turns"].default
    # Generated clients write null for the fields that they leave out.
    whole_question = QueryRequest(question="q").model_dump(mode="json")
    kinds = {"string": str, "array": list}
    assert all(isinstance(whole_question[name], kinds[limit["type"]]) for name, limit in schema.items())


def test_what_holds_data_outlives_the_stack_and_a_failed_first_deployment_leaves_nothing() -> None:
    resources = {name: part for path in TEMPLATES for name, part in content(path)["Resources"].items()}
    stores = [name for name, part in resources.items() if part["Type"] in STORES]
    assert len(stores) == 10
    for name in set(stores) - {"ReceiptsTable"}:
        policies = [resources[name][policy] for policy in ("DeletionPolicy", "UpdateReplacePolicy")]
        is_volume = resources[name]["Type"] == "AWS::EC2::Volume"
        assert policies == (["Snapshot"] * 2 if is_volume else ["RetainExceptOnCreate", "Retain"]), name


def test_the_deployers_rights_cover_every_service_of_the_templates() -> None:
    statements = json.loads((APP.parent / "infra/rights.json").read_text())["Statement"]
    allowed = set(re.findall(r"[a-z0-9]+:[*]", json.dumps(statements)))
    types = {resource["Type"] for path in TEMPLATES for resource in content(path)["Resources"].values()}
    named = {"elasticloadbalancingv2": "elasticloadbalancing", "serverless": "lambda"}
    services = {kind.split("::")[1].lower() for kind in types}
    assert {f"{named.get(service, service)}:*" for service in services} <= allowed
