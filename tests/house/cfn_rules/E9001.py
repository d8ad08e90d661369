"""Rule E9001: a reader of a stream gives up a record at some time, and puts it where it is found again."""

from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template

_KIND = "AWS::Lambda::EventSourceMapping"
_BOUNDS = ("MaximumRetryAttempts", "MaximumRecordAgeInSeconds")


class StreamReadersGiveUp(CloudFormationLintRule):  # type: ignore[misc]
    """Without a bound a poison record holds up its shard until it expires, after a day, and is lost then."""

    id = "E9001"
    shortdesc = "Readers of streams bound their retries and name a destination on failure"
    description = "MaximumRetryAttempts or MaximumRecordAgeInSeconds, and DestinationConfig.OnFailure"
    source_url = "https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html"
    tags = ["agent-platform"]

    def match(self, cfn: Template) -> list[RuleMatch]:
        """Look at each mapping, as SAM makes them of a function's events, whose source is a stream."""
        found = []
        for name, mapping in cfn.get_resources([_KIND]).items():
            properties: dict[str, Any] = mapping.get("Properties", {})
            # Queues have their own way: a redrive policy. Only streams begin somewhere.
            if "StartingPosition" not in properties:
                continue
            path = ["Resources", name, "Properties"]
            if all(properties.get(bound, -1) == -1 for bound in _BOUNDS):
                found.append(RuleMatch(path, f"{name} retries for ever: set {' or '.join(_BOUNDS)}"))
            if not properties.get("DestinationConfig", {}).get("OnFailure"):
                found.append(RuleMatch(path, f"{name} loses what it gives up: set DestinationConfig.OnFailure"))
        return found
