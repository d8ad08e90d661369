"""Laws of the documents for operators: the figures are the code's, and every command in them exists."""

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import AfterValidator, BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from operations.__main__ import commands
from shared import config
from tests.house.repository import ROOT, deployed, files, shown

LIMITS = ROOT / "docs" / "limits.md"
_ROW = re.compile(r"^\| (?P<what>.+?) \| (?P<figure>.+?) \| `(?P<source>[^`]+)` \|$")
_BOUNDS = ("maximum", "maxLength", "maxItems", "maxProperties")


def _rows() -> list[tuple[str, str]]:
    ours = LIMITS.read_text().partition("## AWS's")[0]
    return [(row["source"], row["figure"]) for line in ours.splitlines() if (row := _ROW.match(line))]


def _stands(source: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the code says where a row of the table points."""
    path, _, asked = source.partition(" ")
    if path.isupper():
        monkeypatch.setenv("TABLE_NAME", "table")
        monkeypatch.delenv(path, raising=False)
        config.settings.cache_clear()
        return _plain(getattr(config.settings(), path.lower()))
    if "." not in path:
        return _plain(deployed()["Parameters"][path]["Default"])
    module, _, name = path.rpartition(".")
    owner = None
    if not module.rpartition(".")[2].islower():
        module, _, model = module.rpartition(".")
        owner = getattr(importlib.import_module(module), model)
    if owner is None:
        found = getattr(importlib.import_module(module), name)
        return _plain(found) if isinstance(found, int | float) else _bound(found)
    assert issubclass(owner, BaseModel)
    field = owner.model_fields[name]
    return _plain(field.default) if asked == "default" else _bound(field)


def _bound(kind: Any) -> str:
    """The most that a field or a type takes."""
    if isinstance(kind, FieldInfo):
        kind = kind.rebuild_annotation()
    schemas = [TypeAdapter(kind).json_schema()]
    schemas += schemas[0].get("anyOf", [])
    found = [schema[bound] for schema in schemas for bound in _BOUNDS if bound in schema]
    found += [limit for meta in getattr(kind, "__metadata__", ()) if (limit := _size(meta)) and not found]
    assert found, f"{kind} has no bound"
    return _plain(found[0])


def _size(meta: Any) -> int | None:
    """What `json_size` was made with."""
    is_size = isinstance(meta, AfterValidator) and "json_size" in meta.func.__qualname__
    return int(inspect.getclosurevars(meta.func).nonlocals["limit"]) if is_size else None


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.fixture(autouse=True)
def _settings_of_others() -> Iterator[None]:
    yield
    config.settings.cache_clear()


def test_the_page_of_limits_names_many() -> None:
    rows = _rows()
    assert len(rows) >= 50
    tables = LIMITS.read_text().partition("## AWS's")[0]
    lines = [line for line in tables.splitlines() if line.startswith("| ") and not line.endswith("| from |")]
    assert len(lines) == len(rows), "every figure of ours names the place that it is from"


@pytest.mark.parametrize(("source", "figure"), _rows())
def test_every_limit_is_the_codes_own(source: str, figure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = figure.partition(" ")[0].replace(",", "")
    assert told == _stands(source, monkeypatch), f"docs/limits.md says {figure} where {source} says otherwise"


_COMMANDS = re.compile(r"python -m (operations\.\w+)([^\n`#;|]*)")
_TARGETS = re.compile(r"(?:^|[`(;&|]|then )\s*make ([a-z][a-z-]*)\b", re.MULTILINE)
_LINKS = re.compile(r"\]\(([^)#:]+)(?:#([^)]+))?\)")


def _texts() -> dict[str, str]:
    return {shown(file): file.read_text() for file in files(".md")}


def _told() -> list[tuple[str, str, str]]:
    """The commands of the operator in all documents: file, module, arguments."""
    return [(name, match[1], match[2]) for name, text in _texts().items() for match in _COMMANDS.finditer(text)]


def test_the_documents_name_commands() -> None:
    named = {module.removeprefix("operations.") for _, module, _ in _told()}
    assert named >= commands().keys(), f"say in docs/operations.md what {commands().keys() - named} is for"


@pytest.mark.parametrize("module", sorted({module for _, module, _ in _told()}))
def test_every_command_told_of_exists_and_takes_what_is_told(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, told, arguments in _told():
        if told == module:
            unknown = [flag for flag in re.findall(r"--[a-z-]+", arguments) if flag not in done.stdout]
            assert not unknown, f"{name}: {module} knows no {unknown}"
            assert "--stack" in arguments or "..." in arguments or not arguments.strip(), f"{name}: which stack?"


def test_every_make_target_told_of_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {(name, target) for name, text in _texts().items() for target in _TARGETS.findall(_code(text))}
    assert len(told) > 5
    unknown = sorted(one for one in told if one[1] not in targets)
    assert not unknown, f"no such target in the Makefile: {unknown}"


def _code(text: str) -> str:
    """What stands in fences and backticks, each on a line of its own."""
    fences = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*fences, *re.findall(r"`([^`\n]+)`", text)])


def test_every_link_of_the_operators_documents_leads_somewhere() -> None:
    broken = []
    for file in (LIMITS, LIMITS.with_name("operations.md"), LIMITS.with_name("alarms.md"), ROOT / "README.md"):
        for target, anchor in _LINKS.findall(file.read_text()):
            there = file.parent / target
            if not there.exists():
                broken.append(f"{shown(file)}: {target}")
            elif anchor and there.suffix == ".md" and anchor not in _anchors(there.read_text()):
                broken.append(f"{shown(file)}: {target}#{anchor}")
    assert not broken, f"no such file or heading: {broken}"


def _anchors(text: str) -> set[str]:
    """How headings are linked to, as on GitHub."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
