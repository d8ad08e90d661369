"""Finds the route of a request the way API Gateway does: static segments win over parameters, greedy ones last."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from local.stack import Route

BASE_PATH = "/api/v1"


@dataclass
class _Node:
    static: dict[str, "_Node"] = field(default_factory=dict)
    parameter: tuple[str, "_Node"] | None = None
    greedy: tuple[str, "_Node"] | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class Routes:
    """The routes of an API as a tree of path segments."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in _segments(route.path):
                node = _child(node, segment)
            node.routes[route.method] = route

    def match(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and its path parameters; ``raw_path`` is still percent-encoded.

        The path alone decides, then its method is looked up: a static sibling also hides the methods it lacks.
        """
        found = _find(self._root, _segments(raw_path), {})
        if found is None:
            return None
        node, parameters = found
        route = node.routes.get(method) or node.routes.get("ANY")
        return (route, parameters) if route else None


def without_base_path(raw_path: str) -> str:
    """The path inside the API: every route also answers under a mapped base path."""
    if raw_path == BASE_PATH or raw_path.startswith(f"{BASE_PATH}/"):
        return raw_path.removeprefix(BASE_PATH) or "/"
    return raw_path


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/")


def _child(node: _Node, segment: str) -> _Node:
    if not segment.startswith("{"):
        return node.static.setdefault(segment, _Node())
    name = segment.strip("{}")
    if name.endswith("+"):
        node.greedy = node.greedy or (name.rstrip("+"), _Node())
        return node.greedy[1]
    node.parameter = node.parameter or (name, _Node())
    return node.parameter[1]


def _find(node: _Node, segments: Sequence[str], found: dict[str, str]) -> tuple[_Node, dict[str, str]] | None:
    if not segments:
        return (node, found) if node.routes else None
    first, rest = segments[0], segments[1:]
    match = _find(node.static[first], rest, found) if first in node.static else None
    if match is None and node.parameter and first:
        name, child = node.parameter
        match = _find(child, rest, found | {name: unquote(first)})
    if match is None and node.greedy and first:
        name, child = node.greedy
        match = _find(child, (), found | {name: unquote("/".join(segments))})
    return match
