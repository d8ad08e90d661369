"""What to do after a lost race for a place in the table: wait a moment, then look again."""

import time
from random import SystemRandom


def step_aside(attempt: int, unit_s: float = 0.002) -> None:
    """Wait a random while, at most as many units as attempts were made, and ten, so that the others get by.

    Args:
        attempt: counted from 0.
    """
    time.sleep(SystemRandom().uniform(0, unit_s * min(attempt + 1, 10)))
