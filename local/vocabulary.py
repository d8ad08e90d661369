"""The words of openapi.json that no function file says: what the tags are, who may sign in how, and where."""

from typing import Any

from shared.domain.scopes import ADMIN, EXECUTE, PLATFORM, SCOPES

Json = dict[str, Any]

TAGS = {
    "agents": "A model with instructions, published in versions.",
    "api-keys": "Keys by which programs call the API, each with its scopes.",
    "audit": "Who did what, when, from where, and what came of it.",
    "auth": "Signing up and in; tokens.",
    "bindings": "Which tools an agent has, and what it may do with them.",
    "docs": "This description, for people and for programs.",
    "executions": "Runs as a history of prompts and answers.",
    "health": "Whether the platform answers.",
    "logs": "What builds, runs and clients wrote about an agent.",
    "runs": "An agent working on one input, event by event.",
    "runtime": "Runs by the version of an agent that is live.",
    "sessions": "Conversations: the runs that know of each other.",
    "tenants": "The tenants of the platform, their limits and use; the operator's.",
    "tools": "What agents can call, each with a schema for its arguments.",
    "uploads": "The code of agents that are code.",
    "users": "The people of a tenant and their roles.",
}

SERVERS = [
    {"url": "/", "description": "Where this document was found."},
    {"url": "/api/v1", "description": "The same routes under a base path."},
]


def _means(scope: str) -> str:
    if scope == ADMIN:
        return "Everything in the tenant."
    if scope == EXECUTE:
        return "Run agents and tools."
    resource, _, verb = scope.partition(":")
    whose = ", as the platform's operator" if scope in PLATFORM else ""
    return f"{'Read' if verb == 'read' else 'Change'} {resource.replace('-', ' ')}{whose}."


SECURITY_SCHEMES: Json = {
    "ApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key of `POST /api-keys`.",
    },
    "Bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An `access_token` of `POST /auth/login` or `POST /auth/token`.",
    },
    "OAuth2": {
        "type": "oauth2",
        "description": "Client credentials: the client's id is a key's `id`, its secret the key.",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/auth/token",
                "scopes": {scope: _means(scope) for scope in sorted(SCOPES)},
            }
        },
    },
}
