"""What the laws read: the template, the function files, the events and the sources of this repository."""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from local import operations, template

ROOT = Path(__file__).parent.parent.parent
FUNCTIONS = ROOT / "functions"
EVENTS = ROOT / "events"
ASL = ROOT / "state_machines" / "agent_run.asl.json"

# In a work tree of its own, .git is a file.
_NOT_OURS = {"__pycache__", "node_modules", ".git"}


@dataclass(frozen=True)
class Function:
    """A function of the template; `route` is the method and path that it declares, if any."""

    logical_id: str
    file: Path
    route: tuple[str, str] | None
    properties: dict[str, Any]

    @property
    def name(self) -> str:
        """Folder and verb, such as ``agents/create``."""
        return f"{self.file.parent.name}/{self.file.stem}"

    @property
    def event(self) -> Path:
        return EVENTS / f"{self.name}.json"

    @property
    def script(self) -> Path | None:
        """What starts the server of a streamed answer, behind Lambda Web Adapter."""
        handler = Path(self.properties["Handler"])
        return self.file.with_name(handler.name) if handler.suffix == ".sh" else None

    @property
    def public(self) -> bool:
        """Whether it says that anybody may call it."""
        return self._calls("public")

    @property
    def authenticated(self) -> bool:
        """Whether it says that whoever is known may call it."""
        return self._calls("authenticated")

    def _calls(self, name: str) -> bool:
        calls = (node.func for node in ast.walk(syntax(self.file)) if isinstance(node, ast.Call))
        return any(isinstance(called, ast.Name) and called.id == name for called in calls)

    @property
    def statements(self) -> list[dict[str, Any]]:
        return statements(self.properties)


@cache
def deployed() -> dict[str, Any]:
    """The template; do not change what this returns."""
    return template.load(ROOT / "template.yaml")


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Properties of all resources of a type, by logical id."""
    found = deployed()["Resources"].items()
    return {name: resource["Properties"] for name, resource in found if resource["Type"] == kind}


@cache
def functions() -> tuple[Function, ...]:
    found: list[Function] = []
    for logical_id, properties in resources("AWS::Serverless::Function").items():
        file = ROOT / properties["CodeUri"] / f"{Path(properties['Handler']).stem}.py"
        routes = [(one.method, one.path) for one in operations.declared(file)] if file.exists() else []
        found.append(Function(logical_id, file, routes[0] if routes else None, properties))
    return tuple(found)


def api_functions() -> list[Function]:
    return [function for function in functions() if function.route]


def statements(properties: dict[str, Any]) -> list[dict[str, Any]]:
    """The policy statements of a function or a state machine."""
    return [statement for policy in properties.get("Policies", ()) for statement in policy["Statement"]]


@cache
def syntax(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), filename=str(file))


def imported(tree: ast.AST) -> list[str]:
    """All modules that a file imports; a relative import keeps its dots."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append("." * node.level + (node.module or ""))
    return found


def files(*suffixes: str) -> Iterator[Path]:
    """The files of the repository, without what is installed, generated or kept for one machine only."""
    pending = [ROOT]
    while pending:
        for path in sorted(pending.pop().iterdir()):
            hidden = path.name.startswith(".") and path.name not in {".ci", ".github"}
            if path.is_dir() and not hidden and path.name not in _NOT_OURS:
                pending.append(path)
            elif path.is_file() and path.suffix in suffixes and path.name not in _NOT_OURS:
                yield path


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load_json(path: Path) -> Any:
    return json.loads(path.read_text())
