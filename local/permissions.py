"""IAM in the local runtime: every AWS call of a hosted function is checked against the policies of its role.

Only what our templates use is here: statements that allow named actions on resources, in which ``*`` and ``?`` stand
for other letters, and a permissions boundary. What an action is checked on is said by the Service Authorization
Reference of each service; transactions by "Using IAM with DynamoDB transactions" (Amazon DynamoDB Developer Guide).
"""

import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

from local.emulator import ACCOUNT, REGION

at_work: ContextVar[str] = ContextVar("at_work", default="")
"""The logical id of the function that runs here; empty outside of functions."""

_TRANSACTION_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}
_REMEMBERED = 10_000
# What code asks for bears its function's ARN (AWS Lambda Developer Guide, "Using source function ARN").
_NOT_FOR_CODE = {"Null": {"lambda:SourceFunctionArn": "true"}}
# Operations whose action is called otherwise.
_OTHER_NAMES = {"lambda:Invoke": "lambda:InvokeFunction", "sqs:SendMessageBatch": "sqs:SendMessage"}


@dataclass(frozen=True, slots=True)
class Grant:
    """One action on one resource; ``*`` in the resource stands for any letters."""

    action: str
    resource: str

    def covers(self, need: "Need") -> bool:
        """Whether the grant is enough for the need."""
        return self.action == need.action and _pattern(self.resource).fullmatch(need.resource) is not None


@dataclass(frozen=True, slots=True)
class Need:
    """What a call asks of IAM."""

    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class Role:
    """What a function may do: what is granted, as far as the boundary reaches. ``None``: there is no boundary."""

    name: str
    grants: tuple[Grant, ...]
    boundary: tuple[Grant, ...] | None = None

    def refusal(self, need: Need) -> str | None:
        """Why the need is refused, as AWS words it; `None` if it is not."""
        if not any(grant.covers(need) for grant in self.grants):
            return "no identity-based policy"
        if self.boundary is not None and not any(grant.covers(need) for grant in self.boundary):
            return "no permissions boundary"
        return None


@cache
def _pattern(resource: str) -> re.Pattern[str]:
    escaped = re.escape(resource)
    return re.compile(escaped.replace(r"\*", ".*").replace(r"\?", "."))


def grants_of(statements: Sequence[Mapping[str, Any]]) -> tuple[Grant, ...]:
    """The grants of policy statements to the code of functions.

    Raises:
        ValueError: a statement uses what is not known here, and so would be read wrongly.
    """
    found: list[Grant] = []
    for statement in statements:
        if statement.get("Condition") == _NOT_FOR_CODE:
            continue
        if statement.keys() - {"Sid"} != {"Effect", "Action", "Resource"} or statement["Effect"] != "Allow":
            raise ValueError(f"a statement is Effect: Allow, Action and Resource, not {json.dumps(statement)}")
        for action in listed(statement["Action"]):
            if "*" in action:
                raise ValueError(f"name the actions one by one, not {action}")
            found += [Grant(action, resource) for resource in listed(statement["Resource"])]
    return tuple(found)


def listed(value: Any) -> list[Any]:
    """What a statement names, as a list: one alone may stand there by itself."""
    return value if isinstance(value, list) else [value]


def needs(model: Any, params: Mapping[str, Any]) -> list[Need]:
    """What a call of botocore asks of IAM; several things if it works on several.

    Args:
        model: botocore's model of the operation.
    """
    service, operation = model.service_model.signing_name, model.name
    if service == "s3" and operation == "CreateBucket":
        # From it botocore takes the address of a form for an upload. Nothing is sent; nothing of ours makes buckets.
        return []
    if service == "dynamodb":
        return list(_table_needs(operation, params))
    if service == "apigateway":
        path = re.sub(r"\{(\w+)\}", lambda found: str(params[_argument(model, found[1])]), model.http["requestUri"])
        return [Need(f"apigateway:{model.http['method']}", f"arn:aws:apigateway:{REGION}::{path.partition('?')[0]}")]
    action = _OTHER_NAMES.get(f"{service}:{operation}", f"{service}:{operation}")
    return [Need(action, _resource(service, params))]


def _table_needs(operation: str, params: Mapping[str, Any]) -> Iterator[Need]:
    if "TransactItems" in params:
        for item in params["TransactItems"]:
            for kind, said in item.items():
                yield Need(f"dynamodb:{_TRANSACTION_ACTIONS[kind]}", _table(said["TableName"]))
    elif "RequestItems" in params:
        for name in params["RequestItems"]:
            yield Need(f"dynamodb:{operation}", _table(name))
    else:
        index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
        yield Need(f"dynamodb:{operation}", _table(params["TableName"]) + index if "TableName" in params else "*")


def _table(name: str) -> str:
    return name if name.startswith("arn:") else f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"


def _argument(model: Any, place: str) -> str:
    """The argument that fills a place in an address, which may bear another name there."""
    for name, shape in model.input_shape.members.items():
        if shape.serialization.get("name", name) == place:
            return str(name)
    raise ValueError(f"{model.name} has no argument for {place}")


def _resource(service: str, params: Mapping[str, Any]) -> str:
    match service:
        case "states":
            # A version or an alias is checked on its machine (Step Functions Developer Guide, "Authorization for
            # versions and aliases").
            machine = ":".join(params.get("stateMachineArn", "").split(":")[:7])
            return str(machine or params.get("executionArn", "*"))
        case "secretsmanager":
            # The emulator's Ref of a secret is its name, so that is what its roles name as well.
            return str(params.get("SecretId", "*"))
        case "s3" if "Key" in params:
            return f"arn:aws:s3:::{params['Bucket']}/{params['Key']}"
        case "sqs" if "QueueUrl" in params:
            return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{urlsplit(params['QueueUrl']).path.rpartition('/')[2]}"
        case "lambda" if "FunctionName" in params:
            name = params["FunctionName"]
            return name if name.startswith("arn:") else f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    return "*"


class Guard:
    """Refuses what the role of the function at work does not allow, and remembers what it allowed.

    Args:
        roles: by the logical ids of their functions.
        record: a folder; what is allowed is written to a file in it, so that every grant can be shown to be of use.
    """

    def __init__(self, roles: Mapping[str, Role], record: Path | None = None) -> None:
        self._roles = roles
        self._allowed: set[tuple[str, Need]] = set()
        self._file = _record_file(record, roles) if record else None
        self._lock = threading.Lock()
        self.refused: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[boto3.Session]:
        """Meanwhile the clients of boto3's default session, which functions use, are checked; gives that session."""
        before = boto3.DEFAULT_SESSION
        session = boto3.Session()
        session.events.register("before-parameter-build", self.check)
        boto3.DEFAULT_SESSION = session
        try:
            yield session
        finally:
            boto3.DEFAULT_SESSION = before
            self._end_record()

    def check(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        """Called by botocore before each call.

        Raises:
            ClientError: AccessDeniedException, as from AWS.
        """
        function = at_work.get()
        for need in needs(model, params):
            if (function, need) not in self._allowed:
                self._decide(function, need, model)

    def _decide(self, function: str, need: Need, model: Any) -> None:
        role = self._roles.get(function) or Role("nobody", ())
        reason = role.refusal(need)
        if reason is None:
            self._remember(function, need)
            return
        principal = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.name}/{function or 'no-function-at-work'}"
        message = (
            f"User: {principal} is not authorized to perform: {need.action} on resource: {need.resource} "
            f"because {reason} allows the {need.action} action"
        )
        # Some callers can do without an answer, and a developer must see it all the same.
        print(message, file=sys.stderr)
        self.refused.append(message)
        code = "AccessDenied" if need.action.startswith("sqs:") else "AccessDeniedException"
        error: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        raise ClientError(error, model.name)

    def _end_record(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None

    def _remember(self, function: str, need: Need) -> None:
        with self._lock:
            if self._file is not None and (function, need) not in self._allowed:
                line = {"function": function, "action": need.action, "resource": need.resource}
                self._file.write(json.dumps(line) + "\n")
            if len(self._allowed) >= _REMEMBERED:
                # Some name one execution alone. What is asked again is decided again.
                self._allowed.clear()
            self._allowed.add((function, need))


def _record_file(folder: Path, roles: Mapping[str, Role]) -> IO[str]:
    """A new file whose first line says what was granted when the calls below it were made."""
    folder.mkdir(parents=True, exist_ok=True)
    # It stays open for as long as there are calls.
    file = NamedTemporaryFile("w", buffering=1, suffix=".jsonl", dir=folder, delete=False)  # noqa: SIM115
    granted = {name: [[one.action, one.resource] for one in role.grants] for name, role in roles.items()}
    file.write(json.dumps(granted) + "\n")
    return file
