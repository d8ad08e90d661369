"""The policies of template.yaml as grants: resources spelled as AWS will, but for what only a deployment knows."""

import re
from collections.abc import Mapping
from typing import Any

from local.permissions import Grant, listed
from tests.house.repository import deployed, statements

_HERE = "${AWS::Region}:${AWS::AccountId}"


def granted(statement: Mapping[str, Any]) -> list[Grant]:
    """The grants of a statement."""
    return [
        Grant(action, spelled(one)) for action in listed(statement["Action"]) for one in listed(statement["Resource"])
    ]


def policies() -> dict[str, list[Grant]]:
    """What each function and each state machine is granted by its own policies, by logical id."""
    found = deployed()["Resources"].items()
    return {
        name: [grant for statement in statements(resource["Properties"]) for grant in granted(statement)]
        for name, resource in found
        if resource["Type"] in {"AWS::Serverless::Function", "AWS::Serverless::StateMachine"}
    }


def boundary() -> list[Grant]:
    """What no role of the stack goes beyond."""
    document = deployed()["Resources"]["Boundary"]["Properties"]["PolicyDocument"]
    return [grant for statement in document["Statement"] for grant in granted(statement)]


def spelled(value: Any) -> str:
    """A resource as text. Names that a deployment gives stand as ``${...}``, and the end of a function's name as ``#``.

    Raises:
        ValueError: it is written in a way that is not known here.
    """
    match value:
        case str():
            return value
        case {"Ref": str(name)}:
            return _reference(name)
        case {"Fn::GetAtt": [str(name), "Arn"]} if _kind(name) == "AWS::Serverless::Function":
            return f"arn:${{AWS::Partition}}:lambda:{_HERE}:function:${{AWS::StackName}}-{name}-#"
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": str(text)}:
            text = re.sub(r"\$\{(\w+)\.Name\}", lambda found: _machine_name(found[1]), text)
            return re.sub(r"\$\{(\w+)\.Arn\}", lambda found: spelled({"Fn::GetAtt": [found[1], "Arn"]}), text)
    raise ValueError(f"teach tests/house/policies.py to read {value}")


def _reference(name: str) -> str:
    if _kind(name) == "AWS::Serverless::StateMachine":
        return f"arn:${{AWS::Partition}}:states:{_HERE}:stateMachine:{_machine_name(name)}"
    return f"${{{name}}}"


def _machine_name(logical_id: str) -> str:
    return spelled(deployed()["Resources"][logical_id]["Properties"]["Name"])


def _kind(logical_id: str) -> str:
    return str(deployed()["Resources"].get(logical_id, {}).get("Type", ""))
