"""The operations that the function files declare, read from their source: nothing is imported."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FUNCTIONS = ROOT / "functions"

AUTHENTICATED = "authenticated"

_METHODS = frozenset({"get", "put", "post", "patch", "delete"})


@dataclass(frozen=True)
class Operation:
    """A route function of a handler file.

    Attributes:
        name: of the route function. scope: what the caller must hold; `AUTHENTICATED` if nothing, empty if anybody may
            call, `None` if it says nothing of the kind.
        takes_form: the body may also be a form; takes_file: it may be one with a file.
    """

    method: str
    path: str
    file: Path
    name: str
    scope: str | None
    takes_form: bool
    takes_file: bool

    @property
    def streamed(self) -> bool:
        """Whether the file is served by a script, so that its answers can be streamed."""
        return self.file.with_suffix(".sh").exists()

    @property
    def function(self) -> str:
        """The logical id of its Lambda function in the template."""
        return logical_id(self.file)


def logical_id(file: Path) -> str:
    """How the template names the function of a handler file: ``api_keys/create.py`` is ``ApiKeysCreate``."""
    return "".join(word.capitalize() for word in f"{file.parent.name}_{file.stem}".split("_"))


def operations(functions: Path = FUNCTIONS) -> list[Operation]:
    """All operations below a folder, by file."""
    return [operation for file in sorted(functions.glob("*/*.py")) for operation in declared(file)]


def declared(file: Path) -> Iterator[Operation]:
    """The operations of one file: functions under ``@app.<method>("<path>", ...)``."""
    for function in ast.parse(file.read_text(), filename=str(file)).body:
        if not isinstance(function, ast.FunctionDef):
            continue
        for decorator in function.decorator_list:
            match decorator:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="app"), attr=method), args=[ast.Constant(value=str(path)), *_]
                ) if method in _METHODS:
                    gateway_path = re.sub(r"<(\w+)>", r"{\1}", path)
                    taken = [_takes(function, kind) for kind in ("form", "file")]
                    yield Operation(method.upper(), gateway_path, file, function.name, _scope(function), *taken)


def _scope(function: ast.FunctionDef) -> str | None:
    """The scope in the ``allowed(...)`` of a route function's caller, or what stands for none."""
    for node in ast.walk(function.args):
        match node:
            case ast.Call(func=ast.Name(id="allowed"), args=[ast.Constant(value=str(scope))]):
                return scope
            case ast.Call(func=ast.Name(id="authenticated"), args=[]):
                return AUTHENTICATED
            case ast.Call(func=ast.Name(id="public"), args=[]):
                return ""
    return None


def _takes(function: ast.FunctionDef, kind: str) -> bool:
    """Whether the route function says ``public(form=True)``, or ``allowed(..., file=...)``."""
    return any(isinstance(node, ast.keyword) and node.arg == kind for node in ast.walk(function.args))
