"""The authorizer, called as API Gateway calls it."""

from typing import Any

from shared.telemetry import Refusal
from tests.unit.support.gateway import load

_METHOD = "arn:aws:execute-api:eu-central-1:1:api/live/GET/agents/x"


def authorize(key: str | None, header: str = "X-API-Key", headers: Any = ()) -> dict[str, Any] | None:
    """The policy that a key gets; None if it is refused, by the one text that the gateway turns into a 401."""
    sent = {header: key} if headers == () else headers
    try:
        answer: dict[str, Any] = load("authorizer/authorize").handler({"headers": sent, "methodArn": _METHOD}, None)
    except Refusal as refused:
        if str(refused) != "Unauthorized":
            raise
        return None
    return answer
