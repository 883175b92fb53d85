"""The authorizer in the templates: who calls it, what it may read, and what a denied client sees."""

from __future__ import annotations

import json
from typing import Any

from docwell.adapters.dynamodb.principals import DynamoApiKeys
from docwell.config import AuthorizerSettings
from docwell.errors import Unauthenticated
from docwell.http.edges import problem_of
from docwell.http.shapes import openai_error
from docwell.identity import NO_CREDENTIAL
from tests.unit.infra.intrinsics import Values
from tests.unit.infra.templates import whole


def properties(name: str) -> dict[str, Any]:
    result: dict[str, Any] = whole()["Resources"][name]["Properties"]
    return result


def variables(function: str) -> dict[str, Any]:
    return dict(properties(function)["Environment"]["Variables"])


def test_a_denied_request_gets_the_answer_of_the_function_to_an_unknown_caller() -> None:
    responses = properties("Api")["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]
    expected = problem_of(Unauthenticated(NO_CREDENTIAL), "$context.requestId").model_dump(exclude_none=True)
    expected |= openai_error(expected)
    denied = responses["ACCESS_DENIED"]
    assert json.loads(denied["responseTemplates"]["application/json"]) == expected
    assert denied["statusCode"] == Unauthenticated.status
    assert denied["responseParameters"]["gatewayresponse.header.www-authenticate"] == "'Bearer'"


def test_the_authorizer_reads_rows_of_keys_and_no_grant() -> None:
    (policy,) = properties("AuthorizerRole")["Policies"]
    (read, _refusals, _logs) = policy["PolicyDocument"]["Statement"]
    assert read["Action"] == "dynamodb:GetItem"
    assert read["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["hash:*"]}}
    read_keys = list[Any]()

    class Client:
        def get_item(self, **request: Any) -> dict[str, Any]:
            read_keys.append(request["Key"]["principal"]["S"])
            return {}

    client: Any = Client()
    assert DynamoApiKeys(client, "principals").find("x") is None
    assert read_keys == ["hash:x"]


USER_POOL = "arn:aws:cognito-idp:eu-central-1:111122223333:userpool/eu-central-1_Ab1"


def test_a_user_pool_comes_with_its_app_clients() -> None:
    issuer, clients = (
        Values({"UserPool": f"{USER_POOL};client1,client2", "AWS::URLSuffix": "amazonaws.com"}).of(
            variables("AuthorizerFunction")[f"DOCWELL_TOKEN_{name}"]["Fn::If"][1]
        )
        for name in ("ISSUER", "CLIENTS")
    )
    assert issuer == "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1"
    settings = AuthorizerSettings.read(token_issuer=issuer, token_clients=clients)
    assert settings.token_clients == "client1,client2"
