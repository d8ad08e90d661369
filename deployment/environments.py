"""The environments: what samconfig.toml says of each, and for what machine its layer is built."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = "samconfig.toml"
# pip's names of the machines that Lambda runs on; glibc of 2014 is older than that of every runtime.
_PLATFORMS = {"arm64": "manylinux2014_aarch64", "x86_64": "manylinux2014_x86_64"}
# What is meant by an environment that names neither: the defaults of template.yaml.
_ARCHITECTURE, _RUNTIME = "arm64", "python3.11"
# `sam deploy` without --config-env takes it; the others have names that say where one is.
_UNNAMED = "default"


class Misconfigured(Exception):
    """samconfig.toml does not say what a deployment needs."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment.

    Attributes:
        parameters: what is given for the template's parameters. region: where, if the file says so.
    """

    name: str
    stack: str
    parameters: Mapping[str, str]
    region: str | None

    @property
    def build_variables(self) -> dict[str, str]:
        """What layers/shared/Makefile goes by: SAM does not tell it the template's parameters."""
        architecture = self.parameters.get("Architecture", _ARCHITECTURE)
        runtime = self.parameters.get("PythonRuntime", _RUNTIME)
        return {"PLATFORM": _PLATFORMS[architecture], "PYTHON_VERSION": runtime.removeprefix("python")}

    def overrides(self, **added: str) -> list[str]:
        """The parameters as `sam` takes them: on the command line they replace those of samconfig.toml, all of them."""
        return [f'{name}="{value}"' for name, value in {**self.parameters, **added}.items()]


def environments(root: Path) -> dict[str, Environment]:
    """The environments by name.

    Raises:
        Misconfigured: samconfig.toml is missing, is no TOML, or an environment has no stack.
    """
    try:
        written = tomllib.loads((root / CONFIG).read_text())
    except OSError as error:
        raise Misconfigured(f"{CONFIG} cannot be read: {error.strerror}.") from error
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{CONFIG} is no TOML: {error}.") from error
    return {
        name: _environment(name, said) for name, said in written.items() if isinstance(said, dict) and name != _UNNAMED
    }


def _environment(name: str, said: Mapping[str, Any]) -> Environment:
    common = said.get("global", {}).get("parameters", {})
    deploy = common | said.get("deploy", {}).get("parameters", {})
    if "stack_name" not in deploy:
        raise Misconfigured(f"{CONFIG} names no stack_name for {name}.")
    pairs = (entry.partition("=") for entry in deploy.get("parameter_overrides", ()))
    parameters = {parameter: value.strip('"') for parameter, _, value in pairs}
    return Environment(name, deploy["stack_name"], parameters, deploy.get("region"))
