"""Examples for openapi.json: of requests from events/, of answers from the schemas and a table of values."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from local.operations import ROOT, Operation

Json = dict[str, Any]

_TIME = "2026-11-21T14:55:24.370Z"
_RUN = "01a1fe9a-de8d-7041-afce-04e0fa939739"
_AGENT = "01a1fe9a-dd55-7efa-b3f9-32fd215519a1"
_TOOL = "01a1fe9a-dce4-79ab-8a2e-5d851c16dee7"
_USER = "01a1fe9a-de7d-77ff-b0f2-b5d1553bcb60"

# By the name of a field, or of its schema and itself where the schema makes the difference. A value that a schema does
# not take is passed over, so the table may be wrong about some field but never about the document.
_VALUES: Json = {
    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl",
    "agent_id": _AGENT,
    "agent_version": 1,
    "args": {"text": "hello"},
    "arguments": {"text": "hello"},
    "auth_config": {"header": None},
    "category": "support",
    "completion_tokens": 14,
    "content": "The tool says hello.",
    "cost_usd": "0.000123",
    "data": {
        "output": "It is on its way.",
        "tokens": {"prompt_tokens": 27, "completion_tokens": 14, "total_tokens": 41},
    },
    "description": "Answers customers.",
    "duration_ms": 7,
    "email": "ann@example.com",
    "endpoint": "https://tools.example.com/echo",
    "event": "result",
    "expires_in": 1800,
    "finished_at": "2026-11-21T14:55:25.287Z",
    "full_name": "Ann Example",
    "http_method": "POST",
    "id": "01a1fe9a-dded-7150-a937-0190c1a05d22",
    "input_message": "Where is my order?",
    "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "key": "ap_dev_01a1fe9addd57efab3f9_c2VjcmV0_1a2b3c4d",
    "key_prefix": "ap_dev_01a1f",
    "latency_ms": 3.2,
    "model": "openai:gpt-4o-mini",
    "name": "support",
    "output": "It is on its way.",
    "output_message": "It is on its way.",
    "owner_user_id": _USER,
    "prompt": "Where is my order?",
    "prompt_tokens": 27,
    "rate_limit": "10/minute",
    "response": "It is on its way.",
    "role": "a support agent",
    "run_id": _RUN,
    "scopes": ["agents:read", "runs:execute"],
    "session_id": "order-4711",
    "started_at": _TIME,
    "status": "succeeded",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "stop_reason": "completed",
    "system_prompt": "Answer in two sentences.",
    "tags": ["customers"],
    "tenant_id": "acme",
    "timeout_ms": 5000,
    "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl",
    "tool_call_id": "call_1",
    "tool_id": _TOOL,
    "total_tokens": 41,
    "trace_id": "01a1fe9a-de7d-77ff-b0f2-b5d1553bcb60",
    "user_id": _USER,
    "username": "ann",
    "version": 1,
    "Agent.id": _AGENT,
    "Agent.name": "support",
    "Agent.status": "published",
    "Run.id": _RUN,
    "Tool.id": _TOOL,
    "Tool.name": "echo_tool",
    "Tool.description": "Says what it was told.",
    "Tenant.id": "acme",
    "Tenant.name": "Acme",
    "TenantCreated.id": "acme",
    "TenantCreated.name": "Acme",
    "User.id": _USER,
    "User.role": "developer",
}
_BY_FORMAT = {"date-time": _TIME, "uri": "https://example.com/", "email": "ann@example.com"}
_BY_TYPE: Json = {"boolean": True, "integer": 1, "number": 1.0, "string": "text", "null": None}


def add(document: Json, operations: Mapping[str, Operation]) -> None:
    """Give each JSON body of the document an example; what has one keeps it.

    Args:
        operations: where each operation is declared, by its name.
    """
    schemas = document["components"]["schemas"]
    for operation in (operation for item in document["paths"].values() for operation in item.values()):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            media.setdefault("example", _request(operations.get(operation["operationId"]), media["schema"], schemas))
        for answer in operation["responses"].values():
            for media_type, media in answer.get("content", {}).items():
                if media_type == "application/json":
                    media.setdefault("example", example(media["schema"], schemas))


def _request(operation: Operation | None, schema: Json, schemas: Json) -> Any:
    """The body of the operation's event: the function is known to succeed with it."""
    if operation:
        file = ROOT / "events" / operation.file.parent.name / f"{operation.file.stem}.json"
        for body in _body(file):
            if fits(body, schema, schemas):
                return body
    return example(schema, schemas)


def _body(file: Path) -> Iterator[Any]:
    text = json.loads(file.read_text()).get("body") if file.exists() else None
    if text and text.startswith("{"):
        yield json.loads(text)


def fits(value: Any, schema: Json, schemas: Json) -> bool:
    """Whether a schema takes a value; ``schemas`` are those that it may refer to."""
    whole = {**schema, "components": {"schemas": schemas}}
    return bool(Draft202012Validator(whole).is_valid(value))


def example(schema: Json, schemas: Json, field: str = "", owner: str = "") -> Any:
    """A value that a schema takes.

    Args:
        field, owner: the name under which the value stands, and of the schema that has this field.
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return example(schemas[name], schemas, field, owner or name)
    for known in (f"{owner}.{field}", field):
        if known in _VALUES and fits(_VALUES[known], schema, schemas):
            return _VALUES[known]
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if "default" in schema:
        return schema["default"]
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return None if {"type": "null"} in options else example(options[0], schemas, field, owner)
    return _by_type(schema, schemas, field)


def _by_type(schema: Json, schemas: Json, field: str) -> Any:
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [example(schema.get("items", {}), schemas, field.removesuffix("s"))]
    if kind == "object" or kind is None:
        owner = schema.get("title", "")
        properties = schema.get("properties", {})
        return {name: example(of, schemas, name, owner) for name, of in properties.items()}
    if schema.get("format") in _BY_FORMAT or field.endswith("_at"):
        return _BY_FORMAT.get(schema.get("format", ""), _TIME)
    return schema.get("minimum", _BY_TYPE[kind])
