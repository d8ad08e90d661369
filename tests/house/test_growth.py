"""What a tenant has already makes no operation dearer: benchmarks/growth.py counts, here with less."""

import pytest

from benchmarks import growth

# It looks through what there is, up to a bound: docs/access-patterns.md, "Growth".
GROWS = {"GET /tools/categories"}


def test_nothing_grows_but_what_looks_through_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "sizes", lambda: ((10, 300, 1_000), (3,)))
    rows = growth.measure(lambda _: None)["rows"]
    assert len(rows) > 30
    grown = {row["operation"]: row["counts"] for row in rows if len(set(row["counts"].values())) > 1}
    assert grown.keys() == GROWS, grown
    for operation, counts in grown.items():
        assert len({requests for requests, _, _ in counts.values()}) == 1, operation
