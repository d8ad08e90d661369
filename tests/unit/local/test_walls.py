"""What is said of a machine on which agents' code is not shut in whole."""

import sys

import pytest

from local import walls
from shared.sandbox import runs


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        ({"namespaces", "user", "filter"}, []),
        ({"namespaces", "filter"}, []),
        ({"namespaces", "user"}, ["make any system call"]),
        ({"user", "filter"}, ["read the files that everybody on this machine can read"]),
        ({"filter"}, ["read the files that you can read"]),
        (
            set(),
            [
                "read the files that you can read",
                "use the network, start processes and leave them behind",
                "make any system call",
            ],
        ),
    ],
)
def test_each_gap_is_named(standing: set[str], said: list[str]) -> None:
    assert walls.gaps(standing) == said


@pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")
def test_the_walls_of_this_machine_are_found_out() -> None:
    assert walls.standing() <= runs.WALLS
    assert "filter" in walls.standing()
