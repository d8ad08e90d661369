"""OpenAPI documents: one as services publish them: path, query and header parameters, JSON bodies, named schemas;
and small ones.
"""

import copy
from typing import Any

from tests.unit.support.gateway import Answer, Api

_ID = {"name": "petId", "in": "path", "required": True, "schema": {"type": "integer", "format": "int64", "minimum": 1}}
_DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Petstore", "version": "1.0.0"},
    "servers": [{"url": "https://{region}.petstore.example/v1", "variables": {"region": {"default": "eu"}}}],
    "paths": {
        "/pets": {
            "get": {
                "operationId": "listPets",
                "summary": "List the pets.",
                "description": "Newest first.",
                "tags": ["pets"],
                "parameters": [
                    {"$ref": "#/components/parameters/Limit"},
                    {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                    {
                        "name": "status",
                        "in": "query",
                        "explode": False,
                        "schema": {"type": "array", "items": {"type": "string"}},
                    },
                    {"name": "X-Region", "in": "header", "schema": {"type": "string", "nullable": True}},
                    {"name": "Accept", "in": "header", "required": True, "schema": {"type": "string"}},
                    {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                ],
                "responses": {"200": {"description": "Pets."}},
            },
            "post": {
                "operationId": "createPet",
                "summary": "Add a pet.",
                "tags": ["pets", "write"],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewPet"}}},
                },
                "responses": {"201": {"description": "The pet."}},
            },
        },
        "/pets/{petId}": {
            "parameters": [_ID],
            "get": {"operationId": "getPet", "tags": ["pets"], "responses": {"200": {"description": "The pet."}}},
            "put": {
                "operationId": "updatePet",
                "tags": ["pets", "write"],
                "parameters": [{"name": "dry-run", "in": "query", "schema": {"type": "boolean"}}],
                "requestBody": {
                    "content": {"application/json; charset=utf-8": {"schema": {"$ref": "#/components/schemas/Pet"}}}
                },
                "responses": {"200": {"description": "The pet."}},
            },
            "delete": {"tags": ["write"], "responses": {"204": {"description": "Gone."}}},
        },
        "/pets/{petId}/photo": {
            "post": {
                "operationId": "uploadPhoto",
                "parameters": [_ID],
                "requestBody": {"content": {"multipart/form-data": {"schema": {"type": "object"}}}},
                "responses": {"200": {"description": "Done."}},
            },
        },
    },
    "components": {
        "parameters": {
            "Limit": {"name": "limit", "in": "query", "description": "At most.", "schema": {"type": "integer"}}
        },
        "schemas": {
            "NewPet": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 50, "example": "Rex"},
                    "parent": {"$ref": "#/components/schemas/Pet"},
                    "weight": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
                    "pet-type": {"type": "string", "enum": ["cat", "dog"], "nullable": True},
                },
            },
            "Pet": {
                "allOf": [
                    {"$ref": "#/components/schemas/NewPet"},
                    {
                        "type": "object",
                        "properties": {
                            "petId": {"type": "integer"},
                            "id": {"type": "integer", "readOnly": True},
                            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}},
                        },
                    },
                ]
            },
        },
    },
}


def document(**changed: Any) -> dict[str, Any]:
    """The document, a copy; with these of its members changed."""
    return copy.deepcopy(_DOCUMENT) | changed


def imported(api: Api, spec: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """The tools made, by name."""
    answer = api.post("/tools/import", {"document": spec or document()} | options)
    assert answer.status == 201, answer.text
    return {tool["name"]: tool for tool in answer.json["tools"]}


def one(operation: dict[str, Any], path: str = "/x", method: str = "post", **root: Any) -> dict[str, Any]:
    """A document of one operation."""
    servers = [{"url": "https://x.example"}]
    return {"openapi": "3.1.0", "servers": servers, "paths": {path: {method: operation}}} | root


def body(schema: Any) -> dict[str, Any]:
    """An operation with this JSON body."""
    return {"operationId": "op", "requestBody": {"content": {"application/json": {"schema": schema}}}}


def refused(answer: Answer) -> str:
    """What is wrong, of an import that was refused."""
    assert answer.status == 422, answer.text
    return str(answer.json["errors"][0]["msg"])


PARAMETER = {"name": "q", "in": "query", "required": True}
