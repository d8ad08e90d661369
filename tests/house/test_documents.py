"""Laws of the documents for operators: the figures are the code's, and every command in them exists."""

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import AfterValidator, BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from shared import config
from tests.house.repository import ROOT, deployed

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
