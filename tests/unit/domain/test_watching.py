"""Looking at a run's log from any point, as it grows."""

from shared.domain import watching
from shared.domain.run_records import RunEvent
from shared.domain.watching import Place
from shared.store import run_log
from shared.store.table import TenantStore
from tests.unit.conftest import Requests


def write(store: TenantStore, sizes: list[int]) -> int:
    """A log of batches of these sizes; how many events there are."""
    tail = 0
    for size in sizes:
        store.write(run_log.append("r", tail, [("e", {})] * size, heads=None if tail else {"plan": "p" * 10_000}))
        tail += size
    return tail


def seen_from(store: TenantStore, after: int) -> tuple[list[RunEvent], Place]:
    """Everything behind a number, one look after another."""
    place, everything = Place(after), list[RunEvent]()
    while True:
        events, place = watching.look(store, "r", place)
        if not events:
            return everything, place
        everything += events


def test_whatever_was_seen_before_exactly_the_rest_is_seen(store: TenantStore) -> None:
    count = write(store, [1, 32, 1, 31, 2, *[1] * 33, 5])
    for after in range(count + 3):
        events, place = seen_from(store, after)
        assert [event.id for event in events] == list(range(after + 1, count + 1))
        assert place.after == max(after, count)


def test_a_look_at_a_growing_log_is_one_request_that_reads_nothing_twice(
    store: TenantStore, requests: Requests
) -> None:
    tail = write(store, [3])
    _, place = watching.look(store, "r", Place(0))
    assert watching.look(store, "r", place) == ([], place)
    for size in (1, 32, 2):
        store.write(run_log.append("r", tail, [("e", {})] * size))
        tail += size
        requests.clear()
        events, place = watching.look(store, "r", place)
        assert requests == ["Query"]
        assert ([event.id for event in events], place) == (list(range(tail - size + 1, tail + 1)), Place(tail, True))
