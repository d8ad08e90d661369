"""docs/performance.md says what was measured."""

from benchmarks import page
from tests.house.repository import ROOT, load_json


def test_the_page_is_made_from_the_results() -> None:
    written = (ROOT / "docs/performance.md").read_text()
    assert written == page.page(load_json(ROOT / "benchmarks/results.json")), (
        "`make bench`, or `python -m benchmarks.page` without measuring"
    )
