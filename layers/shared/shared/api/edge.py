"""The one way in: every API function's handler is `edge(app)`.

Here, once: trace id, log context, limits, audit, bad bodies, idempotency, CORS, and errors become HTTP.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, quote, unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from shared import cold_start, json_text
from shared.api import cors, idempotency
from shared.api.audit import Call
from shared.api.caller import Authenticated, Caller, Permission, Public, Visitor, check, identify, visit
from shared.api.metering import Meter
from shared.api.places import base_path_of, placed
from shared.domain.scopes import EXECUTE
from shared.errors import BadRequest, NotFound, PayloadTooLarge, PlatformError, TableBusy, Unavailable, Unprocessable
from shared.store.ids import is_id, new_id
from shared.telemetry import clear_log_context, function_name, log_context, logger

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
Mark = Permission | Authenticated | Public

MAX_BODY_BYTES = 1_000_000
MAX_FORM_FIELDS = 20
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
_TRACE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def edge(app: APIGatewayRestResolver) -> Handler:
    """The Lambda handler of a resolver.

    A `PlatformError` becomes its HTTP answer; everything else a logged, opaque 500.
    """

    def refuse(error: PlatformError) -> Response[Any]:
        return _response(error, app.context["trace_id"])

    def refuse_input(error: RequestValidationError) -> Response[Any]:
        problems = list(error.errors())
        if any(problem["loc"][:1] == ("response",) for problem in problems):
            # Powertools raises the same error for an answer of ours that breaks its own schema.
            raise TypeError("the handler's answer does not fit its declared type") from error
        return _response(_invalid_input(error), app.context["trace_id"])

    register: Any = app.exception_handler
    register(PlatformError)(refuse)
    register(RequestValidationError)(refuse_input)
    register(NotFoundError)(lambda _: _response(NotFound("No such route."), app.context["trace_id"]))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        trace_id = _trace_id(event)
        call, meter = Call(trace_id), Meter()
        operation = f"{event.get('httpMethod')} {event.get('resource')}"
        log_context(trace_id=trace_id, operation=operation, function=function_name(context), **_ids_in_path(event))
        try:
            answer = _answered(app, event, context, call, meter)
            call.end(answer["statusCode"], _code(answer))
        finally:
            clear_log_context()
        added = {"X-Trace-Id": trace_id} | cors.headers(_header(event, "origin"))
        # A refusal speaks of the limit that refused; else the answer tells how the limits stand.
        said = {name: [value] for name, value in meter.headers.items()}
        said |= placed(answer.get("multiValueHeaders", {}), base_path_of(event))
        answer["multiValueHeaders"] = said | {name: [value] for name, value in added.items()}
        return answer

    cold_start.end()
    return handler


def _answered(
    app: APIGatewayRestResolver, event: dict[str, Any], context: Any, call: Call, meter: Meter
) -> dict[str, Any]:
    """The answer, whatever happens on the way to it."""
    try:
        return _answer(app, event, context, call, meter)
    except PlatformError as error:
        return _raw(error, call.trace_id)
    except TableBusy:
        logger.warning("table busy", exc_info=True)
        return _raw(Unavailable("The platform is busy; try again.", headers={"Retry-After": "1"}), call.trace_id)
    except Exception:  # noqa: BLE001 - the one place where the unknown becomes an opaque 500
        logger.exception("unexpected error")
        return _raw(PlatformError("The platform failed to answer; try again."), call.trace_id)


def _answer(
    app: APIGatewayRestResolver, event: dict[str, Any], context: Any, call: Call, meter: Meter
) -> dict[str, Any]:
    event = event | {"path": _path(event)}
    function = _function(app, event)
    marks = () if function is None else _marks(function)
    call.action = function.__name__ if function else call.action
    caller, starts_run = _sender(marks, event, call, meter)
    for mark in marks:
        if isinstance(mark, Permission) and mark.file is not None:
            app.context["file"] = mark.file(event)
    _check_body(event, forms=any(isinstance(mark, Public) and mark.form for mark in marks))
    header = _header(event, "idempotency-key")
    if event["httpMethod"] != "POST" or header is None:
        if starts_run and isinstance(caller, Caller):
            meter.count_run(caller)
        app.context.update(trace_id=call.trace_id, caller=call.stamping(caller))
        return app.resolve(event, context)
    operation = f"POST {event['path']}"
    ticket = idempotency.begin(caller, header, operation, event.get("body") or "")
    if isinstance(ticket, idempotency.Replay):
        headers = ticket.answer.get("multiValueHeaders", {}) | {"Idempotency-Replayed": ["true"]}
        return ticket.answer | {"multiValueHeaders": headers, "isBase64Encoded": False}
    app.context.update(trace_id=call.trace_id, caller=call.stamping(caller, ticket.reserved_id))
    try:
        if starts_run and isinstance(caller, Caller):
            meter.count_run(caller)
        answer = app.resolve(event, context)
    except PlatformError as error:
        idempotency.end(caller.store, ticket, {"statusCode": error.status})
        raise
    except Exception:
        idempotency.end(caller.store, ticket, {"statusCode": 500})
        raise
    idempotency.end(caller.store, ticket, answer)
    return answer


def _path(event: dict[str, Any]) -> str:
    """The path, its parameters percent-encoded: Powertools' routes take few characters, names of things all."""
    path: str = event["resource"]
    for name, value in (event.get("pathParameters") or {}).items():
        path = path.replace(f"{{{name}}}", quote(unquote(value), safe=""))
    return path


def _ids_in_path(event: dict[str, Any]) -> dict[str, str]:
    """The run that the path names; what is no id of ours is a caller's own text, which no log line repeats."""
    named = event.get("pathParameters") or {}
    run_id = unquote(named.get("run_id") or named.get("execution_id") or "")
    return {"run_id": run_id} if is_id(run_id) else {}


def _header(event: dict[str, Any], name: str) -> str | None:
    for key, value in (event.get("headers") or {}).items():
        if key.lower() == name:
            return str(value)
    return None


def _trace_id(event: dict[str, Any]) -> str:
    given = _header(event, "x-trace-id")
    return given if given and _TRACE_ID.fullmatch(given) else new_id()


def _check_body(event: dict[str, Any], *, forms: bool) -> None:
    """Refuse what would break further in: not JSON, too large, too deep, half a character.

    Args:
        forms: the route also takes a form, which goes further in as the JSON object of its fields.

    Raises:
        BadRequest: says what is wrong.
        PayloadTooLarge: more than a megabyte.
    """
    body = event.get("body") or ""
    content_type = (_header(event, "content-type") or _JSON).partition(";")[0].strip().lower()
    if content_type != _JSON:
        # What curl sends with -d and no header is JSON under the name of a form.
        is_form = content_type == _FORM and not body.lstrip().startswith("{")
        if body and is_form and forms:
            body = event["body"] = _form_as_json(body)
        elif body and (is_form or content_type != _FORM):
            raise BadRequest("The body must be application/json.", code="unsupported_content_type")
        event["headers"] = {**_without(event["headers"], "content-type"), "content-type": _JSON}
        event.pop("multiValueHeaders", None)
    if not body:
        return
    if event.get("isBase64Encoded") or "\ufffd" in body:
        # What is no UTF-8 arrives from the gateway as replacement characters: the text is lost already.
        raise BadRequest("The body must be JSON text in UTF-8.", code="invalid_json")
    if len(body.encode("utf-8", "surrogatepass")) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    try:
        parsed = json_text.parse(body)
    except ValueError as error:
        raise BadRequest(f"The body {error}.", code="invalid_json") from error
    if isinstance(parsed, list):
        # Powertools takes a list for its first item; in a list of its own it is refused like any wrong type.
        event["body"] = f"[{body}]"


def _form_as_json(body: str) -> str:
    try:
        pairs = parse_qsl(body, True, True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except ValueError as error:
        raise BadRequest("The body is not a form.", code="invalid_form") from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise BadRequest("A field of the form stands twice.", code="invalid_form")
    return json.dumps(fields)


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key.lower() != name}


def _sender(marks: tuple[Mark, ...], event: dict[str, Any], call: Call, meter: Meter) -> tuple[Caller | Visitor, bool]:
    """Who sent the request, and whether it starts a run; who lacks the route's scope is refused before anything else.

    Powertools resolves dependencies after it has validated the body, and an idempotent replay resolves none.

    Raises:
        Unauthorized, RateLimited, Forbidden: see `identify`, `Meter` and `check`.
    """
    if any(isinstance(mark, Public) for mark in marks):
        visitor = visit(event, call.trace_id)
        call.begin(visitor, event["httpMethod"], event["path"])
        return visitor, False
    caller = identify(event, call.trace_id)
    log_context(tenant_id=caller.tenant_id, user_id=caller.user_id)
    call.begin(caller, event["httpMethod"], event["path"])
    meter.count_request(caller)
    wanted = [mark.scope for mark in marks if isinstance(mark, Permission)]
    for scope in wanted:
        check(caller.scopes, scope)
    return caller, event["httpMethod"] == "POST" and EXECUTE in wanted


def _function(app: APIGatewayRestResolver, event: dict[str, Any]) -> Callable[..., Any] | None:
    """The handler of the route."""
    for route in (*app._static_routes, *app._dynamic_routes):
        if route.method == event["httpMethod"] and route.rule.match(event["path"]):
            return route.func
    return None


@cache
def _marks(function: Callable[..., Any]) -> tuple[Mark, ...]:
    """What a route's handler says of who may call it.

    Raises:
        TypeError: it says nothing; a route that forgets to ask must not be open.
    """
    hints = get_type_hints(function, include_extras=True).values()
    marks = [mark for hint in hints if get_origin(hint) is Annotated for mark in get_args(hint)[1:]]
    found = tuple(mark for mark in marks if isinstance(mark, Mark))
    if not found:
        raise TypeError(f"{function.__name__} does not say who may call it")
    return found


def _invalid_input(error: RequestValidationError) -> PlatformError:
    problems = [
        {"loc": _place(problem["loc"]), "msg": str(problem.get("msg", ""))[:300], "type": problem["type"]}
        for problem in error.errors()
    ]
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"])
    return Unprocessable(f"{where}: {first['msg']}", code="validation_error", errors=problems[:50])


def _place(loc: Sequence[Any]) -> list[str | int]:
    """Where an input is wrong, in the caller's words: the model that gathers query parameters is ours alone."""
    place = [part if isinstance(part, int) else str(part) for part in loc]
    return [place[0], *place[2:]] if place[0] == "query" and len(place) == 3 else place


def _body(error: PlatformError, trace_id: str) -> str:
    body: dict[str, Any] = {"detail": error.detail, "code": error.code, "trace_id": trace_id}
    if error.errors is not None:
        body["errors"] = error.errors
    return json.dumps(body, ensure_ascii=False)


def _code(answer: dict[str, Any]) -> str | None:
    """What the audit says of an answer beside its status."""
    if answer["statusCode"] >= 400:
        return str(json.loads(answer.get("body") or "{}").get("code"))
    return "replayed" if "Idempotency-Replayed" in answer.get("multiValueHeaders", {}) else None


def _response(error: PlatformError, trace_id: str) -> Response[Any]:
    return Response(
        status_code=error.status,
        content_type=content_types.APPLICATION_JSON,
        body=_body(error, trace_id),
        headers=dict(error.headers),
    )


def _raw(error: PlatformError, trace_id: str) -> dict[str, Any]:
    headers = {"Content-Type": [content_types.APPLICATION_JSON]} | {k: [v] for k, v in error.headers.items()}
    return {
        "statusCode": error.status,
        "multiValueHeaders": headers,
        "body": _body(error, trace_id),
        "isBase64Encoded": False,
    }
