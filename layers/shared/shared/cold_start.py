"""The start of an environment of Lambda: no garbage is looked for, nothing imported or compiled that nobody asks for.

What a function imports stays, and to look through it again and again for garbage costs a tenth of the start. The local
runtime and tests have many functions in one process and are left alone.
"""

import dataclasses
import gc
import os
import sys
import typing
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # It would bring a fortieth of a start.
    from importlib.abc import Loader

IN_LAMBDA = "AWS_LAMBDA_RUNTIME_API" in os.environ
"""Whether this process is an environment of Lambda, or of its interface emulator: only they set this variable."""

ONE_THREAD = IN_LAMBDA and "AWS_LAMBDA_EXEC_WRAPPER" not in os.environ
"""Whether it has one event at a time on one thread: so all but the servers of streams, which a wrapper starts."""


_EVENTS = "aws_lambda_powertools.utilities.data_classes"
_RESOLVERS = "aws_lambda_powertools.event_handler"
LATER: dict[str, Mapping[str, str]] = {
    "aws_lambda_powertools": {"Logger": "logging"},
    _RESOLVERS: {
        **dict.fromkeys(("APIGatewayRestResolver", "ApiGatewayResolver", "Response", "api_gateway"), "api_gateway"),
        "Depends": "depends",
        "Request": "request",
        "content_types": "content_types",
    },
    "aws_lambda_powertools.metrics": {},
    _EVENTS: {
        "ALBEvent": "alb_event",
        "APIGatewayProxyEvent": "api_gateway_proxy_event",
        "APIGatewayProxyEventV2": "api_gateway_proxy_event",
        "BedrockAgentEvent": "bedrock_agent_event",
        "LambdaFunctionUrlEvent": "lambda_function_url_event",
        "VPCLatticeEvent": "vpc_lattice",
        "VPCLatticeEventV2": "vpc_lattice",
    },
    "openai.types": {},
    "openai.types.graders": {},
    "openai.types.responses": {},
}
"""Packages, and the names that are asked of them with the submodule of each; a submodule may be such a name, too."""

# Python 3.11 and 3.12 have it, newer ones write all methods of a class at once.
_WRITE_METHOD: Any = getattr(dataclasses, "_create_fn", None)


def begin() -> None:
    """Called before anything of the platform is imported."""
    if IN_LAMBDA:
        gc.disable()
        # Else the first model that is built looks for plugins in the metadata of all packages.
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        _compile_later(True)
    if ONE_THREAD:
        later(LATER)


def end() -> None:
    """Called where the handler is made: the collector works again, and never looks at what is there now."""
    if IN_LAMBDA and not gc.isenabled():
        _compile_later(False)
        gc.freeze()
        gc.enable()


def later(packages: Mapping[str, Mapping[str, str]]) -> None:
    """What these packages import is imported when somebody asks them for it, or never: then they stay empty.

    Their submodules can be imported as ever, and who asks a package for a name finds what it would have found: a name
    that is listed for it in its submodule, and any other in the package as a whole. Nine tenths of what `import openai`
    imports describe APIs that are not called here: 400 modules, half of the start.
    """
    sys.meta_path.insert(0, _Finder(packages))


class _Finder:
    def __init__(self, packages: Mapping[str, Mapping[str, str]]) -> None:
        self._packages = packages

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self._packages:
            return None
        found = PathFinder.find_spec(name, path, target)
        if found is not None and found.loader is not None:
            found.loader = typing.cast("Loader", _Later(found.loader, self._packages[name]))
        return found


class _Later:
    """Makes a package that runs its own code when it is first asked for a name that it does not have (PEP 562)."""

    def __init__(self, loader: "Loader", names: Mapping[str, str]) -> None:
        self._loader, self._names = loader, names

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader

        def asked_for(name: str) -> Any:
            if part := self._names.get(name):
                found = import_module(f"{module.__name__}.{part}")
                return found if name == part else getattr(found, name)
            del module.__getattr__
            self._loader.exec_module(module)
            return getattr(module, name)

        module.__getattr__ = asked_for


def _compile_later(later: bool) -> None:
    """Let Python compile what it writes itself when it is called, which most of it never is: a tenth of the start.

    A data class compares, prints, hashes and guards its fields by code that is written as text; so is each annotation
    in quotes, where the text does as well as its code.
    """
    if _WRITE_METHOD is not None:
        setattr(dataclasses, "_create_fn", _method if later else _WRITE_METHOD)  # noqa: B010 - it is not public
    if later:
        setattr(typing, "compile", lambda text, *_: text)  # noqa: B010 - hides the builtin
    else:
        typing.__dict__.pop("compile", None)


def _method(name: str, *rest: Any, **more: Any) -> Any:
    """As `dataclasses._create_fn`; `__init__` at once, as its signature is looked at."""
    if name == "__init__":
        return _WRITE_METHOD(name, *rest, **more)
    written: list[Any] = []

    def method(*arguments: Any) -> Any:
        if not written:
            written.append(_WRITE_METHOD(name, *rest, **more))
        return written[0](*arguments)

    method.__name__ = name
    return method
