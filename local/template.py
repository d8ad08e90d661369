"""The template as the emulator can take it: read from YAML, with a few local edits."""

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from local.errors import LocalError

# The emulator refuses a change set that holds any of these.
_UNKNOWN_TO_EMULATOR = frozenset(
    {
        "AWS::Backup::BackupSelection",
        "AWS::Budgets::Budget",
        "AWS::CloudWatch::AnomalyDetector",
        "AWS::CloudWatch::CompositeAlarm",
        "AWS::Logs::QueryDefinition",
        "AWS::SecretsManager::ResourcePolicy",
        "AWS::SecretsManager::RotationSchedule",
        "AWS::WAFv2::WebACLAssociation",
    }
)
_LAYERS = frozenset({"AWS::Lambda::LayerVersion", "AWS::Serverless::LayerVersion"})
_FUNCTION_CODE = ("CodeUri", "ImageUri", "Layers")
_VERSIONED = frozenset({"AWS::Serverless::Function", "AWS::Serverless::StateMachine"})
_VERSIONING = ("AutoPublishAlias", "AutoPublishAliasAllProperties", "DeploymentPreference", "VersionDescription")
# What SAM calls the alias of a state machine, which has no `<logical id>.Alias` to refer to.
_MACHINE_ALIAS = re.compile(r"(\w+)Alias[a-z]+")


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short forms (``!Ref``, ``!GetAtt``, ``!Sub``, ...)."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any = None
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)
# CloudFormation writes its dates as text; YAML would make them date objects.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)  # type: ignore[type-var]


def load(path: Path) -> dict[str, Any]:
    """The template as written, short forms expanded and local files included."""
    try:
        # A safe loader: nothing but plain data comes out of it.
        template = yaml.load(path.read_text(), _Loader)  # noqa: S506
    except OSError as error:
        raise LocalError(f"the template {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise LocalError(f"the template {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise LocalError(f"the template {path} has no Resources")
    included: dict[str, Any] = _included(template, path.parent)
    return included


def _included(node: Any, folder: Path) -> Any:
    """The node with each ``AWS::Include`` of a local file, in JSON or in YAML, replaced by what the file holds."""
    match node:
        case {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": str(location)}}}:
            return _read("Fn::Transform", folder / location)
        case dict():
            return {key: _included(value, folder) for key, value in node.items()}
        case list():
            return [_included(value, folder) for value in node]
    return node


def unversioned(template: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without published versions and aliases: what named them names the functions and machines themselves.

    The emulator's CloudFormation knows no versions and aliases of state machines and no CodeDeploy.
    """
    kinds = {logical_id: resource.get("Type") for logical_id, resource in template["Resources"].items()}
    edited: dict[str, Any] = _named_bare(copy.deepcopy(dict(template)), kinds)
    for logical_id in (name for name, kind in kinds.items() if kind in _VERSIONED):
        for name in _VERSIONING:
            edited["Resources"][logical_id].get("Properties", {}).pop(name, None)
    return edited


def _named_bare(node: Any, kinds: Mapping[str, Any]) -> Any:
    match node:
        case {"Ref": str(name)} if len(node) == 1:
            logical_id, _, attribute = name.partition(".")
            if attribute in ("Alias", "Version") and kinds.get(logical_id) == "AWS::Serverless::Function":
                return {"Fn::GetAtt": [logical_id, "Arn"]}
            found = _MACHINE_ALIAS.fullmatch(name)
            if found and kinds.get(found[1]) == "AWS::Serverless::StateMachine":
                return {"Ref": found[1]}
        case {"Fn::Sub": str(text)}:
            return {"Fn::Sub": re.sub(r"\$\{(\w+)\.(?:Alias|Version)\}", r"${\1.Arn}", text)}
        case dict():
            return {key: _named_bare(value, kinds) for key, value in node.items()}
        case list():
            return [_named_bare(value, kinds) for value in node]
    return node


def without_the_unknown(template: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without what makes the emulator refuse a change set."""
    edited = unversioned(template)
    resources = edited["Resources"]
    for logical_id in [key for key, value in resources.items() if value.get("Type") in _UNKNOWN_TO_EMULATOR]:
        del resources[logical_id]
    for resource in resources.values():
        if resource.get("Type") == "AWS::CloudWatch::Alarm":
            _without_math(resource["Properties"])
    return edited


def for_emulator(template: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A copy without code and layers (the host runs the handlers) and with the state machines inlined."""
    edited = without_the_unknown(template)
    for name in (*_FUNCTION_CODE, "Runtime"):
        edited.get("Globals", {}).get("Function", {}).pop(name, None)
    resources: dict[str, Any] = edited["Resources"]
    for logical_id in [key for key, value in resources.items() if value.get("Type") in _LAYERS]:
        del resources[logical_id]
    for logical_id, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource.get("Type") == "AWS::Serverless::Function":
            for name in _FUNCTION_CODE:
                properties.pop(name, None)
            # Any python runtime would start worker processes for some event sources, past the host.
            properties |= {"InlineCode": "#", "Runtime": "provided.al2023"}
        elif resource.get("Type") == "AWS::Serverless::StateMachine" and "DefinitionUri" in properties:
            properties["Definition"] = _read(logical_id, folder / properties.pop("DefinitionUri"))
    return edited


def _without_math(alarm: dict[str, Any]) -> None:
    """Let an alarm watch the first of its metrics alone: the emulator knows no metric math, and refuses such alarms."""
    measured = [entry["MetricStat"] for entry in alarm.pop("Metrics", ()) if "MetricStat" in entry]
    if measured:
        alarm |= measured[0]["Metric"] | {"Period": measured[0]["Period"], "Statistic": "Sum"}


def _read(needed_by: str, path: Path) -> Any:
    """What a file holds: JSON, or YAML if that is its name, without short forms: CloudFormation knows none in there."""
    try:
        text = path.read_text()
        return yaml.load(text, yaml.CSafeLoader) if path.suffix == ".yaml" else json.loads(text)
    except OSError as error:
        raise LocalError(f"{needed_by}: {path} cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise LocalError(f"{needed_by}: {path} is not valid {path.suffix[1:].upper()}: {error}") from error


def code_of(template: Mapping[str, Any], folder: Path) -> dict[str, tuple[Path, str]]:
    """Where each function's code is: its folder and its handler, by logical id."""
    common = template.get("Globals", {}).get("Function", {})
    code: dict[str, tuple[Path, str]] = {}
    for logical_id, resource in template["Resources"].items():
        if resource.get("Type") == "AWS::Serverless::Function":
            properties = common | resource.get("Properties", {})
            try:
                code[logical_id] = folder / properties["CodeUri"], str(properties["Handler"])
            except KeyError as missing:
                raise LocalError(f"{logical_id} has no {missing.args[0]}") from None
    return code
