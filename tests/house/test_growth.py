"""What a tenant has already makes no operation dearer: benchmarks/growth.py counts, here with less."""

import pytest

from benchmarks import growth


def test_nothing_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "sizes", lambda: ((10, 300, 1_000), (3,)))
    rows = growth.measure(lambda _: None)["rows"]
    assert len(rows) > 30
    grown = {row["operation"]: row["counts"] for row in rows if len(set(row["counts"].values())) > 1}
    assert not grown
