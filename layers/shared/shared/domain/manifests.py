"""`anymind.yaml`: what an agent of one's own code says of itself (docs/code-agents.md), and whether its code fits.

The file is read as the part of YAML that it needs: scalars, and lists of them. So there are no aliases, tags and
nesting that could be turned against the reader, no library in the layer, and a mistake is told with its line. The code
is looked at as a tree; nothing of it is ever run here.
"""

import ast
import json
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from shared.domain.fields import Model, Whole
from shared.errors import BuildFailed

FILE = "anymind.yaml"
MAX_BYTES = 16_384
MAX_SOURCE_BYTES = 1_000_000

_MAX_LINE = 1_000
_MAX_ITEMS = 100
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,50}):(?:[ ]+(.*))?")
_ITEM = re.compile(r"[ ]*-(?:[ ]+(.*))?")
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'"
_SCALAR = re.compile(rf"({_QUOTED})[ ]*(?:#.*)?")
_FLOW = re.compile(rf"[ ]*({_QUOTED}|[^\s,\[\]\"'][^,\[\]\"']*)[ ]*(,|$)")
# With these YAML begins what is not read here.
_OTHER_YAML = tuple("&*!|>{}%@`")

_ENTRYPOINT = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,9}:[A-Za-z_][A-Za-z0-9_]*$"
_REQUIREMENT = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(==[A-Za-z0-9.!+_-]+)?$"


class Manifest(Model):
    """What `anymind.yaml` says. `memory` is in mebibytes."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    entrypoint: Annotated[str, Field(max_length=200, pattern=_ENTRYPOINT)]
    python: Annotated[str, Field(pattern=r"^3\.[0-9]{1,2}$")] | None = None
    timeout_seconds: Annotated[Whole, Field(ge=1, le=30)] = 30
    memory: Annotated[Whole, Field(ge=128, le=1024)] = 512
    requirements: Annotated[
        list[Annotated[str, Field(max_length=200, pattern=_REQUIREMENT)]], Field(max_length=_MAX_ITEMS)
    ] = []

    @property
    def module(self) -> str:
        """The path of the entrypoint's module, without its ending."""
        return self.entrypoint.partition(":")[0].replace(".", "/")

    @property
    def callable(self) -> str:
        """The name that is called."""
        return self.entrypoint.partition(":")[2]


def read(content: bytes) -> Manifest:
    """The manifest in a file.

    Raises:
        BuildFailed: says what is wrong, and where.
    """
    try:
        manifest = Manifest.model_validate(_parsed(content))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise _bad(f"{place}: {problem['msg']}.") from None
    running = f"3.{sys.version_info.minor}"
    if manifest.python not in {None, running}:
        raise _bad(f"python: it asks for {manifest.python}, and the platform runs {running}.")
    return manifest


def source_of(manifest: Manifest, files: Mapping[str, int]) -> str:
    """The file of the entrypoint.

    Args:
        files: the sizes of the archive's files by their paths.

    Raises:
        BuildFailed: there is none, or it is too large to be looked at.
    """
    for path in (f"{manifest.module}.py", f"{manifest.module}/__init__.py"):
        if path in files:
            if files[path] > MAX_SOURCE_BYTES:
                raise BuildFailed("no_entrypoint", f"{path} is larger than {MAX_SOURCE_BYTES} bytes.")
            return path
    raise BuildFailed("no_entrypoint", f"There is no {manifest.module}.py for the entrypoint {manifest.entrypoint}.")


def check_callable(manifest: Manifest, path: str, source: bytes) -> None:
    """See that the entrypoint's module has a name that can be called with a payload, without running it.

    Raises:
        BuildFailed: it has not, or is no Python.
    """
    try:
        with warnings.catch_warnings():
            # They would quote the source in our own log.
            warnings.simplefilter("ignore")
            tree = ast.parse(source, filename=path)
    except SyntaxError as error:
        raise BuildFailed("bad_source", f"{path}, line {error.lineno}: {error.msg}.") from None
    except (ValueError, RecursionError, MemoryError):
        raise BuildFailed("bad_source", f"{path} cannot be read as Python.") from None
    wanted, found = manifest.callable, None
    for statement in _statements(tree.body):
        found = _bound(statement, wanted) or found
    if found is None:
        raise BuildFailed("no_entrypoint", f"{path} does not define {wanted}.")
    if isinstance(found, ast.AsyncFunctionDef):
        raise BuildFailed("not_callable", f"{wanted} in {path} is async; it must be a plain function.")
    if isinstance(found, ast.Constant | ast.List | ast.Dict | ast.Set | ast.Tuple | ast.JoinedStr):
        raise BuildFailed("not_callable", f"{wanted} in {path} cannot be called.")
    if isinstance(found, ast.FunctionDef | ast.Lambda) and not _takes_one(found.args):
        raise BuildFailed("not_callable", f"{wanted} in {path} must take one argument, the payload.")


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported; those of `if` and `try` one level deep."""
    for statement in body:
        yield statement
        for name in ("body", "orelse", "handlers", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With):
                for inner in getattr(statement, name, ()):
                    yield from inner.body if isinstance(inner, ast.ExceptHandler) else [inner]


def _bound(statement: ast.stmt, name: str) -> ast.AST | None:
    """What a statement binds to the name."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if statement.name == name:
            return statement
        case ast.Assign(targets=targets, value=value):
            return value if any(isinstance(to, ast.Name) and to.id == name for to in targets) else None
        case ast.AnnAssign(target=ast.Name(id=target), value=value) if target == name:
            return value
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return next((alias for alias in names if (alias.asname or alias.name) == name), None)
    return None


def _takes_one(arguments: ast.arguments) -> bool:
    """Whether a function can be called with one argument and no more."""
    given = [*arguments.posonlyargs, *arguments.args]
    needed = len(given) - len(arguments.defaults)
    named = any(default is None for default in arguments.kw_defaults)
    return needed <= 1 and (bool(given) or arguments.vararg is not None) and not named


def _bad(detail: str) -> BuildFailed:
    return BuildFailed("bad_manifest", f"{FILE}: {detail}")


def _parsed(content: bytes) -> dict[str, Any]:
    """The file as an object of texts, numbers, nulls and lists of them."""
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise _bad("it is not in UTF-8.") from None
    found: dict[str, Any] = {}
    listing: str | None = None
    for number, line in enumerate(lines, 1):
        try:
            listing = _line(line.rstrip(), number == 1, found, listing)
        except ValueError as error:
            raise _bad(f"line {number}: {error}.") from None
    return found


def _line(line: str, is_first: bool, found: dict[str, Any], listing: str | None) -> str | None:
    """Take a line in; gives the key whose list may go on in the next one.

    Raises:
        ValueError: it is not read here.
    """
    if not line.isprintable() or len(line) > _MAX_LINE:
        raise ValueError(f"it holds a tab or a control character, or more than {_MAX_LINE} characters")
    if not line.strip() or line.lstrip().startswith("#") or (is_first and line == "---"):
        return listing
    item = _ITEM.fullmatch(line)
    if item:
        if listing is None or not isinstance(found[listing] or [], list):
            raise ValueError("an item stands outside of a list")
        found[listing] = [*(found[listing] or []), _scalar(item[1] or "")]
        if len(found[listing]) > _MAX_ITEMS:
            raise ValueError(f"a list has more than {_MAX_ITEMS} items")
        return listing
    pair = _KEY.fullmatch(line)
    if pair is None:
        raise ValueError("it is neither `key: value` nor `- item`")
    key, text = pair[1], (pair[2] or "").strip()
    if key in found:
        raise ValueError(f"{key} stands twice")
    found[key] = _flow(text) if text.startswith("[") else _scalar(text)
    return key if found[key] is None else None


def _scalar(text: str) -> Any:
    text = text.strip()
    if text.startswith(('"', "'")):
        quoted = _SCALAR.fullmatch(text)
        if quoted is None:
            raise ValueError("a quote is not closed, or something follows it")
        return _unquoted(quoted[1])
    text = re.split(r"(?:^|[ ])#", text, maxsplit=1)[0].strip()
    if text.startswith(_OTHER_YAML) or text.startswith(("- ", "? ")) or ": " in text or text.endswith(":"):
        raise ValueError(f"{text[:1]!r} begins or makes YAML that is not taken here; put the text in quotes")
    if text in {"", "~", "null"}:
        return None
    return int(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,8})", text) else text


def _unquoted(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    try:
        return str(json.loads(text))
    except ValueError:
        raise ValueError("the text in double quotes is not as JSON has it") from None


def _flow(text: str) -> list[Any]:
    inner = re.fullmatch(r"\[(.*)\][ ]*(?:#.*)?", text)
    if inner is None:
        raise ValueError("a list in brackets must end on its line")
    rest, at = inner[1].strip().removesuffix(","), 0
    found: list[Any] = []
    while at < len(rest):
        item = _FLOW.match(rest, at)
        if item is None or len(found) == _MAX_ITEMS:
            raise ValueError("a list in brackets takes up to 100 plain or quoted texts")
        found.append(_scalar(item[1]))
        at = item.end()
    return found
