"""The OpenAPI page of the HTTP API."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, content_types

from docwell.access.credentials import KEY_HEADER
from docwell.http import chat_bodies, mcp_routes, openai_routes, problems

API_VERSION = "1.0.0"
_RPC = {"type": "object", "description": "A result or an error of JSON-RPC", "required": ["jsonrpc", "id"]}
_CREDENTIALS = {
    "key": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, or a token of the user pool."},
}


def page(app: APIGatewayRestResolver, document_route: str, documents: str) -> dict[str, Any]:
    """Return Powertools' OpenAPI page with the key as a parameter, problems as errors, and the credentials."""
    schema: dict[str, Any] = json.loads(
        app.get_openapi_json_schema(
            title="docwell",
            version=API_VERSION,
            description="Ask questions of the documents in a bucket; every answer cites its places.",
        )
    )
    paths = schema["paths"]
    item = paths.pop(document_route)
    key = {"name": "key", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    for operation in item.values():
        operation["parameters"] = [key, *operation.get("parameters", ())]
    paths[f"{documents}/{{key}}"] = item
    schema["components"]["schemas"]["Problem"] = problems.Problem.model_json_schema()
    problem = {"$ref": "#/components/schemas/Problem"}
    schema["components"]["schemas"]["Error"] = chat_bodies.ErrorResponse.model_json_schema(
        ref_template="#/components/schemas/Error/$defs/{model}"
    )
    for path, operation in ((path, one) for path, item in paths.items() for one in item.values()):
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = {
            "description": "A problem document",
            "content": {problems.PROBLEM_JSON: {"schema": problem}},
        }
        if path.startswith(openai_routes.PATHS):
            operation["responses"]["default"] = {
                "description": "An error in OpenAI's shape",
                "content": {content_types.APPLICATION_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
            }
        if path == mcp_routes.MCP:
            operation["responses"]["202"] = {"description": "A notification was accepted"}
            for answer in ("200", "default"):
                operation["responses"][answer]["content"][content_types.APPLICATION_JSON] = {"schema": _RPC}
    for unused in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(unused, None)
    schema["components"]["securitySchemes"] = _CREDENTIALS
    schema["security"] = [{name: []} for name in _CREDENTIALS]
    paths["/v1/health"]["get"]["security"] = []
    return schema
