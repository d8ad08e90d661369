"""Rule E9002: log groups keep their lines as long as the operator says."""

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template

_WANTED = {"Ref": "LogRetentionDays"}


class LogGroupsEnd(CloudFormationLintRule):  # type: ignore[misc]
    """CloudWatch keeps lines for ever unless told otherwise."""

    id = "E9002"
    shortdesc = "Log groups have the retention of the stack's parameter"
    description = "RetentionInDays of AWS::Logs::LogGroup is the parameter LogRetentionDays"
    source_url = (
        "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-logs-loggroup.html"
    )
    tags = ["agent-platform"]

    def match(self, cfn: Template) -> list[RuleMatch]:
        """Look at each log group."""
        return [
            RuleMatch(["Resources", name], f"{name} needs RetentionInDays: !Ref LogRetentionDays")
            for name, group in cfn.get_resources(["AWS::Logs::LogGroup"]).items()
            if group.get("Properties", {}).get("RetentionInDays") != _WANTED
        ]
