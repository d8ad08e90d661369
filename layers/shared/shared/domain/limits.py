"""Limits on how often, how much and for how much money: how they are written."""

from typing import Annotated

from pydantic import Field

RateLimit = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]{0,6}/(second|minute|hour|day)$",
        description="So many in each window of the clock, such as `10/minute`.",
    ),
]
TokenBudget = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,11}/(minute|hour|day)$")]
MoneyBudget = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?/(minute|hour|day)$")]
"""Dollars in each window, such as `5.00/day`."""
