"""Rule E9003: policies name their actions one by one."""

from collections.abc import Iterator
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template


class NoWildcardActions(CloudFormationLintRule):  # type: ignore[misc]
    """A wildcard grants what nobody thought of, and what AWS adds later."""

    id = "E9003"
    shortdesc = "No action of a policy has a wildcard"
    description = "Action and NotAction of all policy documents, of roles, keys, queues and topics alike"
    source_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#grant-least-privilege"
    tags = ["agent-platform"]

    def match(self, cfn: Template) -> list[RuleMatch]:
        """Look at each statement, wherever in a resource it stands."""
        return [
            RuleMatch(path, f"name the actions one by one, not {action!r}")
            for name, resource in cfn.get_resources().items()
            for path, action in _actions(resource.get("Properties", {}), ["Resources", name, "Properties"])
            if "*" in action
        ]


def _actions(node: Any, path: list[Any]) -> Iterator[tuple[list[Any], str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("Action", "NotAction") and "Effect" in node:
                listed = value if isinstance(value, list) else [value]
                yield from (([*path, key], action) for action in listed if isinstance(action, str))
            else:
                yield from _actions(value, [*path, key])
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _actions(value, [*path, number])
