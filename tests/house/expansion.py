"""The template as SAM hands it to CloudFormation: what it makes of functions, machines and parameters."""

import copy
from collections.abc import Mapping
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

_CODE = ("CodeUri", "ContentUri", "DefinitionUri")


def expand(
    template: Mapping[str, Any], parameters: Mapping[str, str] | None = None, *, layer: str = "s3://bucket/key"
) -> dict[str, Any]:
    """The template after SAM's transformation.

    Args:
        parameters: what is given for the template's parameters, beside their defaults.
        layer: where `sam deploy` put the shared layer; another address stands for other code.
    """
    source = copy.deepcopy(dict(template))
    for resource in source["Resources"].values():
        # SAM takes code from S3 only; `sam deploy` uploads it before.
        properties = resource.get("Properties", {})
        properties |= {name: "s3://bucket/key" for name in _CODE if name in properties}
        if "ContentUri" in properties:
            properties["ContentUri"] = layer
    session = boto3.Session(region_name="eu-central-1")
    result: dict[str, Any] = Translator({}, Parser(), boto_session=session).translate(source, dict(parameters or {}))
    return result
