"""What types of tools there are, and which tools ship with the platform."""

from typing import Any

from shared.domain import internal_tools
from shared.domain.fields import Record
from shared.domain.tools import AuthType, ExecutionType


class InternalTool(Record):
    """A tool of the platform's own: create a tool of this name without an endpoint, and bind it."""

    name: str
    description: str
    input_schema: dict[str, Any]


class ToolType(Record):
    """A type of tools."""

    name: ExecutionType
    description: str
    auth_types: list[AuthType]
    tools: list[InternalTool]


TYPES = [
    ToolType(
        name="http_webhook",
        description="Calls the tool's endpoint over HTTP, behind the platform's guards.",
        auth_types=["none", "api_key", "oauth2", "service"],
        tools=[],
    ),
    ToolType(
        name="internal",
        description="Ships with the platform and runs inside it.",
        auth_types=["none"],
        tools=[
            InternalTool(name=name, description=text, input_schema=internal_tools.schema_of(name))
            for name, text in internal_tools.DESCRIPTIONS.items()
        ],
    ),
]
