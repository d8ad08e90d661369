"""The platform in one process over the emulator's own DynamoDB, which is called, not asked over HTTP.

For counts of many things: handlers and requests are the real ones, and what is put into the table by hand lies where
the emulator itself would put it.
"""

import io
import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from typing import Any
from unittest.mock import patch

from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse, HeadersDict
from ministack.services import dynamodb

from shared import config
from shared.clients import aws, http, llm, machines, secrets
from shared.clients.llm_replies import Asked, Reply
from shared.domain import identities, tenants
from tests.house.repository import resources
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine

Item = dict[str, Any]
_TABLE = "table"
_ENVIRONMENT = {
    "TABLE_NAME": _TABLE,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "API_KEY_PEPPER": "pepper",
    "JWT_SECRET": "secret-of-the-tokens-" * 3,
    "LOG_LEVEL": "CRITICAL",
}
_CACHES = (config.settings, aws.dynamodb, aws.stepfunctions, aws.stepfunctions_control, secrets.secret, secrets.ring)


class Table:
    """The table, whose items can be looked at and added to without a request."""

    def __init__(self) -> None:
        self._table: dict[str, Any] = dynamodb._tables[_TABLE]
        self._items: dict[str, dict[str, Item]] = self._table["items"]

    def items(self) -> Iterator[Item]:
        return (item for partition in self._items.values() for item in partition.values())

    def put(self, items: Iterable[Item]) -> None:
        for item in items:
            self._items[item["pk"]["S"]][item["sk"]["S"]] = item
        # The emulator finds out anew what stands in its indexes.
        self._table.pop(dynamodb._INDEX_MEMBERS, None)

    @contextmanager
    def near(self, query: dict[str, Any]) -> Iterator[None]:
        """Show the emulator no more of a list than a query can come to: it looks at each item, one by one.

        The conditions are those of `shared.store.table`: an end of the sort keys, or both.
        """
        values, index = query["ExpressionAttributeValues"], query.get("IndexName")
        lists: dict[str, dict[Any, Any]] = dynamodb._index_members(self._table)[index] if index else self._items
        name, limit = values[":pk"]["S"], query.get("Limit")
        whole = lists.get(name, {})
        if limit is None or len(whole) <= limit or "ExclusiveStartKey" in query:
            yield
            return

        def sort(place: Any) -> str:
            # In an index with the partition before it, which is one for all that stand in a list.
            return str(place[1] if index else place)

        places = sorted(whole)
        low = bisect_left(places, values[":low"]["S"], key=sort) if ":low" in values else 0
        high = bisect_right(places, values[":high"]["S"], key=sort) if ":high" in values else len(places)
        # One more for the end itself, which may not belong to the range, and one for what comes behind.
        if query["ScanIndexForward"]:
            high = min(high, low + limit + 2)
        else:
            low = max(low, high - limit - 2)
        lists[name] = {place: whole[place] for place in places[low:high]}
        try:
            yield
        finally:
            lists[name] = whole


@contextmanager
def running() -> Iterator[Table]:
    """An empty table. The model asks for the tool whose name is in the message, once; the tool's server answers."""
    with ExitStack() as undo:
        undo.enter_context(patch.dict(os.environ, _ENVIRONMENT))
        # Metrics are lines of the standard output, which is for figures here.
        undo.enter_context(redirect_stdout(io.StringIO()))
        _forget()
        undo.callback(_forget)
        machine = Machine()
        for name in ("run_and_wait", "start_express", "start_background", "stop_background"):
            undo.enter_context(patch.object(machines, name, getattr(machine, name)))
        undo.enter_context(patch.object(llm, "chat", _said(machine)))
        answered = http.HttpAnswer(200, {}, b'{"said": "hello"}')
        undo.enter_context(patch.object(http, "send", lambda *args, **options: answered))
        events = aws.dynamodb().meta.events
        events.register("choose-signer.dynamodb", lambda **_: UNSIGNED)
        (written,) = resources("AWS::DynamoDB::Table").values()
        wanted = ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema")
        made = {"TableName": _TABLE} | {name: written[name] for name in wanted}
        _handled("CreateTable", json.dumps(made).encode())
        undo.callback(dynamodb._tables.pop, _TABLE, None)
        table = Table()
        events.register("before-send.dynamodb", _answering(table))
        yield table


def api(tenant: str, scopes: str = "admin") -> Api:
    """The API as an administrator sees it."""
    return Api(tenant=tenant, user="grower", scopes=scopes)


def _forget() -> None:
    for cached in _CACHES:
        cached.cache_clear()
    identities._remembered.clear()
    tenants._remembered.clear()


def _said(machine: Machine) -> Callable[..., Reply]:
    def chat(provider: str, model: str, messages: Any, **given: Any) -> Reply:
        # The stand-in of the machine refuses to call more workers than one run could need.
        machine.invoked.clear()
        names = [tool["function"]["name"] for tool in given["tools"]]
        named = [name for name in names if name in messages[-1]["content"]]
        if messages[-1]["role"] == "user" and named:
            return Reply(None, [Asked("call_1", named[0], "{}")], 10, 5)
        return Reply("Good morning.", [], 10, 5)

    return chat


class _Raw:
    """A body as urllib3 gives it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


def _answering(table: Table) -> Callable[..., Any]:
    """Stands in for the network."""

    def answer(request: Any, **_: Any) -> AWSResponse:
        target = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        with table.near(json.loads(request.body)) if target == "Query" else nullcontext():
            status, headers, body = _handled(target, request.body)
        return AWSResponse(request.url, status, HeadersDict(headers), _Raw(body))  # type: ignore[arg-type]

    return answer


def _handled(action: str, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What the emulator answers. Nothing in there waits, so that it needs no event loop."""
    handled = dynamodb.handle_request("POST", "/", {"x-amz-target": f"DynamoDB_20120810.{action}"}, request, {})
    try:
        handled.send(None)
    except StopIteration as done:
        status, headers, body = done.value
        return status, headers, body if isinstance(body, bytes) else body.encode()
    raise RuntimeError("the emulator waits for something")
