"""Calls of AWS that need no HTTP: the clients of hosted functions ask the emulator's process itself.

What a function sees of boto3 stays the same, its answers, errors and events; signing, HTTP and the resolution of
endpoints, which are most of what a small request costs, are left out. Only the operations named here go this way.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from local.wire import Questions

OPERATIONS: Mapping[str, frozenset[str]] = {
    "dynamodb": frozenset(
        {
            "BatchGetItem",
            "BatchWriteItem",
            "DeleteItem",
            "GetItem",
            "PutItem",
            "Query",
            "TransactGetItems",
            "TransactWriteItems",
            "UpdateItem",
        }
    ),
    "stepfunctions": frozenset({"DescribeExecution", "StartExecution", "StartSyncExecution", "StopExecution"}),
}

# botocore's, of a client that is told nothing (botocore.retries.legacy).
_ATTEMPTS = 5
# Of what DynamoDB answers, only binary values are more than their JSON says.
_BINARY = (b'"B"', b'"BS"')


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What is left of the response that handlers of the event `after-call` get."""

    status_code: int
    content: bytes


def shorten(events: Any, emulator: Questions) -> None:
    """Let the clients that a session makes from now on ask the emulator directly.

    Args:
        events: the session's, by which botocore lets others add to the classes of its clients.
    """
    for service, operations in OPERATIONS.items():
        events.register(f"creating-client-class.{service}", _adder(emulator, service, operations))


def _adder(emulator: Questions, service: str, operations: frozenset[str]) -> Callable[..., None]:
    def add(base_classes: list[type], **_: Any) -> None:
        stock: Any = base_classes[-1]

        class Direct(stock):  # type: ignore[misc]
            """A client that sends some operations to the emulator's process, and others as ever."""

            def _make_api_call(self, operation_name: str, api_params: Any) -> Any:
                if operation_name not in operations:
                    return super()._make_api_call(operation_name, api_params)
                return _call(self, emulator, service, operation_name, api_params)

        base_classes[-1] = Direct

    return add


def _call(client: Any, emulator: Questions, service: str, operation: str, params: Any) -> Any:
    """What botocore does for a call, in its order."""
    model = client.meta.service_model.operation_model(operation)
    context: dict[str, Any] = {"client_region": client.meta.region_name, "client_config": client.meta.config}
    params = client._emit_api_params(api_params=params, operation_model=model, context=context)
    status, body = _asked(client, emulator, f"{service} {operation}", _to_json(params).encode())
    parsed = _parsed(client, model, service, status, body)
    client.meta.events.emit(
        f"after-call.{model.service_model.service_id.hyphenize()}.{operation}",
        http_response=HttpResponse(status, body),
        parsed=parsed,
        model=model,
        context=context,
    )
    if status >= 300:
        raise client.exceptions.from_code(parsed.get("Error", {}).get("Code"))(parsed, operation)
    return parsed


def _asked(client: Any, emulator: Questions, question: str, document: bytes) -> tuple[int, bytes]:
    config = client.meta.config
    # A question that lies in the socket is not lost, so asking again would only have it answered twice.
    patience = config.read_timeout * (config.retries or {}).get("total_max_attempts", _ATTEMPTS)
    try:
        status, body = emulator.ask(question, document, patience)
    except TimeoutError as error:
        raise ReadTimeoutError(endpoint_url=client.meta.endpoint_url, error=error) from error
    except OSError as error:
        raise EndpointConnectionError(endpoint_url=client.meta.endpoint_url, error=error) from error
    return int(status), body


def _parsed(client: Any, model: Any, service: str, status: int, body: bytes) -> Any:
    if service == "dynamodb" and status < 300 and not any(mark in body for mark in _BINARY):
        parsed = json.loads(body)
        parsed["ResponseMetadata"] = {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}
        return parsed
    answer = {"status_code": status, "headers": {}, "body": body}
    parsed = client._response_parser.parse(answer, model.output_shape)
    if status >= 300 and (shape := model.service_model.shape_for_error_code(parsed["Error"]["Code"])) is not None:
        parsed |= client._response_parser.parse(answer, shape)
    parsed.setdefault("ResponseMetadata", {})["RetryAttempts"] = 0
    return parsed


def _base64(value: bytes | bytearray) -> str:
    return b64encode(value).decode()


_to_json = json.JSONEncoder(default=_base64).encode
