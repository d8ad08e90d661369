"""Laws of the contract: what is promised is served, what is served is promised, and each route has a test."""

from tests import coverage_table
from tests.house.contract import SECTIONS
from tests.house.repository import ROOT, load_json

_PROMISED = {route for routes in SECTIONS.values() for route in routes}
_SERVED = {
    f"{method.upper()} {path}" for path, item in load_json(ROOT / "openapi.json")["paths"].items() for method in item
}


def test_the_platform_serves_exactly_the_contract() -> None:
    assert not _PROMISED - _SERVED, f"promised and not served: {sorted(_PROMISED - _SERVED)}"
    assert not _SERVED - _PROMISED, f"served and not in tests/house/contract.py: {sorted(_SERVED - _PROMISED)}"


def test_every_route_has_a_test() -> None:
    bare = sorted(_PROMISED - coverage_table.tests_by_route().keys())
    assert not bare, f'mark a test of each with pytest.mark.covers("..."): {bare}'


def test_no_test_covers_what_does_not_exist() -> None:
    unknown = {route: tests for route, tests in coverage_table.tests_by_route().items() if route not in _PROMISED}
    assert not unknown, f"correct these marks: {unknown}"


def test_the_table_does_not_drift() -> None:
    assert coverage_table.DOCUMENT.read_text() == coverage_table.generate(), "run 'make coverage-table'"
