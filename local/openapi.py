"""openapi.json from the function files: ``python -m local.openapi [--check]`` (api.json too, see local/definition.py).

Powertools makes the schema of each function and merges them. What it cannot know is added here: the key and the scope
that a call needs, the errors of the edge, the headers that every answer carries.
"""

import argparse
import json
import re
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler.openapi.constants import DEFAULT_OPENAPI_RESPONSE_DESCRIPTION
from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge

from local import definition, examples, vocabulary
from local.operations import AUTHENTICATED, FUNCTIONS, ROOT, Operation, declared
from shared.api.answers import IF_MATCH
from shared.api.paging import PagingQuery

DOCUMENT = ROOT / "openapi.json"

Json = dict[str, Any]

# Status: name of the answer among the components, what it means, and an example's detail and code.
_ERRORS = {
    400: (
        "BadRequest",
        "The body is not JSON, or a header or the cursor has no valid form.",
        "The body is not JSON.",
        "invalid_json",
    ),
    401: (
        "Unauthorized",
        "No key came with the request, or none that holds.",
        "A valid X-API-Key or Authorization: Bearer header is required.",
        "unauthorized",
    ),
    403: (
        "Forbidden",
        "The caller lacks the scope that the operation needs.",
        "This needs the scope agents:write.",
        "scope_missing",
    ),
    404: ("NotFound", "No such thing in the caller's tenant.", "No such agent.", "not_found"),
    409: (
        "Conflict",
        "The state of the thing forbids it, or the first request with this Idempotency-Key still runs.",
        "The name is taken.",
        "name_taken",
    ),
    413: (
        "PayloadTooLarge",
        "The body is larger than a megabyte.",
        "The body is larger than 1000000 bytes.",
        "payload_too_large",
    ),
    422: (
        "Unprocessable",
        "The request is well formed, but not acceptable; `errors` says where and why.",
        "body.name: Field required",
        "validation_error",
    ),
    429: ("TooManyRequests", "A limit of the caller is used up for now.", "Too many requests.", "rate_limited"),
    500: (
        "InternalError",
        "The platform failed; the trace id finds the reason in its logs.",
        "The platform failed to answer; try again.",
        "internal_error",
    ),
    503: ("Unavailable", "The platform is busy; try again.", "The platform is busy; try again.", "unavailable"),
}
_FILE = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "contentMediaType": "application/gzip"}},
    },
    "example": {"file": "the bytes of agent.tar.gz"},
}
_ALWAYS = (401, 403, 429, 500, 503)
_MEANINGS = {
    200: "Done.",
    201: "Created.",
    202: "Accepted; it goes on.",
    204: "Done; there is nothing to say.",
    302: "Elsewhere.",
}

_ERROR_SCHEMA: Json = {
    "title": "Error",
    "description": "Why a request was refused. `code` is stable; `detail` is for people.",
    "type": "object",
    "required": ["detail", "code", "trace_id"],
    "properties": {
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "trace_id": {"type": "string"},
        "errors": {
            "description": "Only with status 422.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        },
    },
}
_TRACE_ID_SCHEMA: Json = {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,128}$"}
_HEADERS: Json = {
    "X-Trace-Id": {"description": "The request's trace id, given or made.", "schema": _TRACE_ID_SCHEMA},
    "Location": {"description": "Where the thing is.", "schema": {"type": "string", "format": "uri-reference"}},
    "Link": {"description": 'The next page, as `<...>; rel="next"`; absent on the last.', "schema": {"type": "string"}},
    "X-Next-Cursor": {"description": "The cursor of the next page; absent on the last.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}},
    "X-RateLimit-Limit": {
        "description": "What the limit allows in a window; on all answers to a tenant with limits, as the next two.",
        "schema": {"type": "integer"},
    },
    "X-RateLimit-Remaining": {"description": "How much of it is left.", "schema": {"type": "integer"}},
    "X-RateLimit-Reset": {
        "description": "When its window ends, in epoch seconds.",
        "schema": {"type": "integer"},
    },
    "Idempotency-Replayed": {
        "description": "`true` if this is the answer that the first request with the key got.",
        "schema": {"type": "string", "const": "true"},
    },
}
_REQUEST_HEADERS: Json = {
    "X-Trace-Id": {
        "description": "Goes into logs, tool calls and the answer. Made anew if it is not 1 to 128 of A-Za-z0-9_.:-",
        "schema": {"type": "string"},
    },
    "Idempotency-Key": {
        "description": "The same key and body within 24 hours give the first answer again, without a second effect.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
}


class OpenApiError(Exception):
    """The function files cannot be described by one document."""


def generate() -> str:
    """The text of openapi.json.

    Raises:
        OpenApiError: two schemas or two operations share a name, or a tag has no description.
    """
    with warnings.catch_warnings():
        # Powertools only warns of a file that it leaves out.
        warnings.simplefilter("error")
        document = _completed(*_merged())
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def drift() -> str | None:
    """What is wrong with the committed document, in one line; `None` if it is as it should be."""
    committed = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    if committed == generate():
        return None
    return f"{DOCUMENT.name} drifts from the function files: run 'make openapi' and commit it."


def _merged() -> tuple[Json, dict[str, Operation]]:
    """The documents of all functions in one, and the operations that their files declare."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    whole = OpenAPIMerge(
        title="Agent Platform", version=project["version"], description=project["description"], on_conflict="error"
    )
    schemas: dict[str, tuple[Any, Path]] = {}
    operations: dict[str, Operation] = {}
    for file in sorted(FUNCTIONS.glob("*/*.py")):
        one = OpenAPIMerge()
        if not one.discover(file.parent, file.name, project_root=ROOT):
            continue
        document = one.get_openapi_schema()
        for name, schema in document.get("components", {}).get("schemas", {}).items():
            _check_unique(name, schema, file, schemas)
        whole.add_schema(document)
        operations |= {found.name: found for found in declared(file)}
    merged: Json = json.loads(whole.get_openapi_json_schema())
    return merged, operations


def _check_unique(name: str, schema: Any, file: Path, seen: dict[str, tuple[Any, Path]]) -> None:
    """Schemas are merged by name, and of two different ones the last would win in silence."""
    if "__" in name:
        raise OpenApiError(f"{file.relative_to(ROOT)} uses two classes named {name.rpartition('__')[2]}: rename one.")
    first, where = seen.setdefault(name, (schema, file))
    if first != schema:
        raise OpenApiError(
            f"{where.relative_to(ROOT)} and {file.relative_to(ROOT)} use different classes named {name}: rename one."
        )


def _completed(document: Json, operations: dict[str, Operation]) -> Json:
    components = document["components"]
    components["schemas"]["Error"] = _ERROR_SCHEMA
    components["headers"] = _HEADERS
    components["parameters"] = _parameters()
    components["responses"] = {name: _error(status) for status, (name, *_) in _ERRORS.items()}
    components["securitySchemes"] = vocabulary.SECURITY_SCHEMES
    document["security"] = [{name: []} for name in vocabulary.SECURITY_SCHEMES]
    names: set[str] = set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            said = set(operation["responses"])
            _complete(operation, path, method, components["schemas"])
            name = operation["operationId"]
            declared_here = operations.get(name)
            scope = declared_here.scope if declared_here else None
            if scope == "":
                for status in {"401", "403"} - said:
                    del operation["responses"][status]
            if name in names:
                raise OpenApiError(f"Two route functions are named {name}: rename one.")
            names.add(name)
            if scope is not None:
                # OpenAPI 3.1, "Security Requirement Object": outside OAuth, the roles that the call needs.
                needed = [] if scope == AUTHENTICATED else [scope]
                operation["security"] = [{name: needed} for name in vocabulary.SECURITY_SCHEMES] if scope else []
            if declared_here and declared_here.takes_form:
                content = operation["requestBody"]["content"]
                content["application/x-www-form-urlencoded"] = content["application/json"]
            if declared_here and declared_here.takes_file:
                operation["requestBody"]["content"]["multipart/form-data"] = _FILE
    _drop_unused(document)
    document["servers"] = vocabulary.SERVERS
    used = {tag for item in document["paths"].values() for operation in item.values() for tag in operation["tags"]}
    if unknown := used - vocabulary.TAGS.keys():
        raise OpenApiError(f"Describe these tags in local/vocabulary.py: {sorted(unknown)}.")
    document["tags"] = [{"name": tag, "description": vocabulary.TAGS[tag]} for tag in sorted(used)]
    examples.add(document, operations)
    return document


def _parameters() -> Json:
    found = {name: {"name": name, "in": "header", **header} for name, header in _REQUEST_HEADERS.items()}
    for name, field in PagingQuery.model_json_schema()["properties"].items():
        # Powertools makes all fields of a query model plain strings; null is no value of a query.
        schema = next(option for option in field["anyOf"] if option["type"] != "null")
        found[name] = {"name": name, "in": "query", "description": field["description"], "schema": schema}
    return found


def _error(status: int) -> Json:
    headers = ["X-Trace-Id", *(["Retry-After"] if status in {429, 503} else [])]
    if status == 429:
        headers += ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
    return {
        "description": _ERRORS[status][1],
        "headers": {name: _ref("headers", name) for name in headers},
        "content": {"application/json": {"schema": _ref("schemas", "Error"), "example": _error_example(status)}},
    }


def _error_example(status: int) -> Json:
    detail, code = _ERRORS[status][2:]
    body: Json = {"detail": detail, "code": code, "trace_id": "01a1fe9a-de7d-77ff-b0f2-b5d1553bcb60"}
    if status == 422:
        body["errors"] = [{"loc": ["body", "name"], "msg": "Field required", "type": "missing"}]
    return body


def _complete(operation: Json, path: str, method: str, schemas: Json) -> None:
    operation["operationId"] = operation["operationId"].removesuffix(re.sub(r"\W", "_", path) + "_" + method)
    given = {parameter["name"]: parameter for parameter in operation.get("parameters", ())}
    errors = _errors(operation, method, given, schemas)
    operation["parameters"] = _parameters_of(given, method)
    responses = {status: answer for status, answer in operation["responses"].items() if int(status) < 400}
    for status, answer in responses.items():
        if answer["description"] == DEFAULT_OPENAPI_RESPONSE_DESCRIPTION:
            answer["description"] = _MEANINGS[int(status)]
        answer["headers"] = {name: _ref("headers", name) for name in _headers(int(status), method, given)}
        if status in {"204", "302"}:
            del answer["content"]
    operation["responses"] = responses | {str(status): _ref("responses", _ERRORS[status][0]) for status in errors}


def _parameters_of(given: Json, method: str) -> list[Json]:
    paged = set(PagingQuery.model_fields) if "cursor" in given else set()
    own = [parameter for name, parameter in given.items() if name not in paged]
    for parameter in own:
        parameter["schema"] = _without_null(parameter["schema"])
        if parameter["in"] == "header":
            parameter["name"] = parameter["name"].title()
        if parameter["name"] == "If-Match":
            parameter["schema"] = {"type": "string", "pattern": IF_MATCH.pattern}
    added = [*(name for name in given if name in paged), *(["Idempotency-Key"] if method == "post" else [])]
    return own + [_ref("parameters", name) for name in (*added, "X-Trace-Id")]


def _without_null(schema: Json) -> Json:
    """A parameter's schema: what may be left out is null in Python, and null is no value of a query or a header."""
    options: list[Json] = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) != 1:
        return schema
    rest: Json = {name: value for name, value in schema.items() if name != "anyOf"}
    return rest | options[0]


def _headers(status: int, method: str, given: Json) -> list[str]:
    wanted = ["X-Trace-Id"]
    if status in {201, 202, 302}:
        wanted.append("Location")
    if method == "post":
        wanted.append("Idempotency-Replayed")
    if "limit" in given:
        wanted.append("Link")
    if "cursor" in given:
        wanted.append("X-Next-Cursor")
    return wanted


def _errors(operation: Json, method: str, given: Json, schemas: Json) -> list[int]:
    """The errors that an operation can answer, by what it takes."""
    has_body = "requestBody" in operation
    places = {parameter["in"] for parameter in given.values()}
    # Powertools names 422 whether or not there is anything to validate.
    found = {*_ALWAYS, *(int(status) for status in operation["responses"] if int(status) in set(_ERRORS) - {422})}
    if has_body:
        found |= {400, 413, 422}
    if "query" in places:
        found.add(422)
    if "cursor" in given or "header" in places or method == "post":
        found.add(400)
    if "path" in places or _names_others(operation, schemas):
        found.add(404)
    if method != "get":
        found.add(409)
    return sorted(found)


def _names_others(operation: Json, schemas: Json) -> bool:
    """Whether the body names other things by their ids."""
    used = re.findall(r"#/components/schemas/(\w+)", json.dumps(operation.get("requestBody", {})))
    return any(re.search(r"_ids?$", field) for name in used for field in schemas[name].get("properties", {}))


def _drop_unused(document: Json) -> None:
    schemas = document["components"]["schemas"]
    while True:
        used = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
        unused = schemas.keys() - used
        if not unused:
            return
        for name in unused:
            del schemas[name]


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def main() -> int:
    """Write the documents, or say whether they are up to date; the exit code is 1 if not."""
    parser = argparse.ArgumentParser(
        prog="python -m local.openapi",
        description="Generate openapi.json, api.json and the API's role in template.yaml.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a committed file drifts")
    try:
        if not parser.parse_args().check:
            definition.write()
            DOCUMENT.write_text(generate())
            return 0
        problems = [problem for problem in (definition.drift(), drift()) if problem]
    except (OpenApiError, definition.DefinitionError) as error:
        problems = [str(error)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
