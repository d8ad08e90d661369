"""OpenAPI documents (3.0 and 3.1) of tenants: their operations, and what each takes.

A document is taken for hostile. References stay inside it, are never expanded in place (a schema that another names
goes to `$defs` once, so cycles stay references), and whatever is followed, is followed a bounded number of times.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from shared.errors import Unprocessable

_METHODS = ("get", "post", "put", "patch", "delete")
_MAX_HOPS = 8


class Unsupported(Exception):
    """An operation that cannot become a tool; the message says why."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a document. `label` is how the document's reader would name it, such as ``GET /pets``."""

    method: str
    path: str
    item: dict[str, Any]
    body: dict[str, Any]

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def operation_id(self) -> str | None:
        """Its id, if that is a text."""
        found = self.body.get("operationId")
        return found if isinstance(found, str) and found.strip() else None

    @property
    def tags(self) -> list[str]:
        found = self.body.get("tags")
        return [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []

    @property
    def description(self) -> str:
        """Summary and description, as far as a tool's description goes."""
        texts = [self.body.get(name) for name in ("summary", "description")]
        said = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
        return "\n\n".join(dict.fromkeys(said))[:2_000]


class Document:
    """A document that says it is OpenAPI 3.0 or 3.1.

    Raises:
        Unprocessable: it does not.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        version = root.get("openapi")
        if not isinstance(version, str) or not re.match(r"3\.[01](\.|$)", version):
            raise invalid("openapi", "must be 3.0.x or 3.1.x")
        if not isinstance(root.get("paths"), dict):
            raise invalid("paths", "must be an object")
        self._root = root
        self._led: dict[str, str] = {}

    def operations(self) -> Iterator[Operation]:
        """Every operation, in the order of the document."""
        for path, raw in self._root["paths"].items():
            if path.startswith("x-"):
                continue
            item = self.resolve(raw)
            if not path.startswith("/") or not isinstance(item, dict):
                raise invalid(f"paths.{path[:100]}", "must begin with a slash, and be an object")
            for method in _METHODS:
                if isinstance(item.get(method), dict):
                    yield Operation(method.upper(), path, item, item[method])

    def resolve(self, node: Any) -> Any:
        """What a node stands for: itself, or what its `$ref` leads to.

        Raises:
            Unprocessable: the reference leads out of the document, nowhere, or in a circle.
        """
        if not isinstance(node, dict) or "$ref" not in node:
            return node
        return self._at(self.pointer(node["$ref"]))

    def pointer(self, reference: Any) -> str:
        """The place that a reference leads to in the end. Raises as `resolve`."""
        begun = reference
        for _ in range(_MAX_HOPS):
            if not isinstance(reference, str) or not reference.startswith("#/"):
                raise invalid("$ref", "references must stay inside the document (#/...)")
            if begun in self._led:
                return self._led[begun]
            node = self._at(reference)
            if not isinstance(node, dict) or "$ref" not in node:
                self._led[begun] = reference
                return reference
            reference = node["$ref"]
        raise invalid("$ref", "references lead in a circle, or through more than 8 others")

    def _at(self, pointer: str) -> Any:
        """The node at a JSON pointer (RFC 6901)."""
        node: Any = self._root
        for part in pointer.removeprefix("#/").split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and key in node:
                node = node[key]
            elif isinstance(node, list) and key.isdecimal() and len(key) < 6 and int(key) < len(node):
                node = node[int(key)]
            else:
                raise invalid("$ref", f"{pointer[:200]} leads nowhere")
        return node

    def server(self, operation: Operation) -> str:
        """The address that an operation's path goes on from, without a slash at its end.

        Raises:
            Unprocessable: the document names none that is absolute.
        """
        for holder in (operation.body, operation.item, self._root):
            servers = holder.get("servers")
            if isinstance(servers, list) and servers and isinstance(servers[0], dict):
                url = _filled(servers[0])
                if re.match(r"https?://", url, re.IGNORECASE):
                    return url.rstrip("/")
        raise Unprocessable(
            "The document names no absolute server; say base_url.",
            errors=[{"loc": ["body", "base_url"], "msg": "is needed: no absolute server", "type": "value_error"}],
        )


def _filled(server: dict[str, Any]) -> str:
    """The URL of a server with the defaults of its variables."""
    url, variables = str(server.get("url", "")), server.get("variables")
    for name, variable in variables.items() if isinstance(variables, dict) else ():
        if isinstance(variable, dict):
            url = url.replace(f"{{{name}}}", str(variable.get("default", "")))[:2_000]
    return url


def invalid(place: str, message: str) -> Unprocessable:
    """The refusal of a document, naming the place in it."""
    return Unprocessable(
        f"The document cannot be read: {place}: {message}.",
        errors=[{"loc": ["body", "document", place], "msg": message, "type": "value_error"}],
    )
