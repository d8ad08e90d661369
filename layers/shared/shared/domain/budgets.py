"""Budgets: caps on the tokens and the money of runs, reserved before each model call.

What a call can use at most is taken from every budget before it is made, and corrected to what it used afterwards, so
runs that draw on one budget at once cannot exceed it together. No token is shorter than a byte, so the size of the
request in bytes is the most that its prompt can count; the answer is given a limit. A worker that dies in between
leaves its reservation in place until the window ends. Where no cap is set, nothing is asked and nothing is changed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from shared.domain import limits
from shared.domain.fields import DEFERRED, Inner
from shared.domain.prices import Price, picodollars
from shared.errors import LimitExceeded
from shared.store import counters
from shared.store.counters import Limit
from shared.store.table import TenantStore

_ANSWER_TOKENS = 4_096
"""The longest answer, where a budget is set and the agent says nothing."""

_USEFUL_TOKENS = 256
# Each try after the first is smaller, since others took what was left.
_ATTEMPTS = 3


class Budget(Inner):
    """A cap that runs draw on together: so many tokens or dollars in each window."""

    name: str
    of: Literal["tenant", "key"]
    unit: Literal["tokens", "cost"]
    limit: str


_MANY = TypeAdapter(list[Budget], config=DEFERRED)


@dataclass(frozen=True, slots=True)
class Caps:
    """What a model call may draw on.

    Attributes:
        answer: the most tokens that the answer may have by the run's own limit on tokens; `None` if it has none.
        cost_left: picodollars that the run may still spend; `None` if it has no cap.
    """

    budgets: Sequence[Budget]
    price: Price | None
    answer: int | None
    cost_left: int | None


@dataclass(slots=True)
class Reservation:
    """What was taken for one model call.

    Attributes:
        answer: the most tokens that the answer may have; `None` if nothing limits it.
    """

    answer: int | None = None
    taken: list[tuple[Budget, int, Mapping[str, int]]] = field(default_factory=list)


def of_tenant(tokens: str | None, cost_usd: str | None) -> list[Budget]:
    """The budgets of a tenant with these caps."""
    return _budgets("tenant", "", tokens, cost_usd)


def of_key(key_id: str, tokens: str | None, cost_usd: str | None) -> list[Budget]:
    """The budgets of a key with these caps."""
    return _budgets("key", f"#KEY#{key_id}", tokens, cost_usd)


def as_text(found: Sequence[Budget]) -> str:
    """Budgets as the authorizer's context carries them; empty for none."""
    return _MANY.dump_json(list(found)).decode() if found else ""


def of_text(text: str) -> list[Budget]:
    """What `as_text` wrote."""
    return _MANY.validate_json(text) if text else []


def _budgets(of: Literal["tenant", "key"], suffix: str, tokens: str | None, cost_usd: str | None) -> list[Budget]:
    found = []
    if tokens:
        found.append(Budget(name=f"TOKENS{suffix}", of=of, unit="tokens", limit=tokens))
    if cost_usd:
        found.append(Budget(name=f"COST{suffix}", of=of, unit="cost", limit=cost_usd))
    return found


def reserve(store: TenantStore, caps: Caps, params: Mapping[str, Any], request: object) -> Reservation:
    """Take what a model call can use at most; 1 request for each budget, none without caps.

    Args:
        params: the agent's parameters, which may limit the answer. request: all that is sent with it.

    Raises:
        LimitExceeded: the call does not fit; nothing stays taken.
    """
    if not caps.budgets and caps.cost_left is None:
        return Reservation(caps.answer)
    prompt = len(json.dumps(request, ensure_ascii=False).encode())
    answer = params.get("max_completion_tokens") or params.get("max_tokens") or _ANSWER_TOKENS
    answer = min(answer, caps.answer or answer)
    least = min(answer, _USEFUL_TOKENS)
    if caps.cost_left is not None:
        answer = min(answer, _fitting(caps, "cost", prompt, caps.cost_left))
        if answer < least:
            raise LimitExceeded("max_cost_usd: what the run may still spend does not pay for another model call.")
    for attempt in range(_ATTEMPTS):
        taken, full, left = _take(store, caps, prompt, answer)
        if full is None:
            break
        answer = min(answer - 1, _fitting(caps, full.unit, prompt, left))
        if answer < least or attempt + 1 == _ATTEMPTS:
            raise LimitExceeded(f"budget_{full.unit}: the {full.of}'s budget of {full.limit} has no room for the call.")
    return Reservation(answer, taken)


def settle(store: TenantStore, caps: Caps, reserved: Reservation, prompt_tokens: int | None, answered: int) -> None:
    """Correct what was reserved to what was used; 1 request for each budget.

    Args:
        prompt_tokens: `None` if the provider did not count; the reservation stays.
    """
    if prompt_tokens is None:
        return
    for budget, amount, windows in reserved.taken:
        used = _amount(caps, budget.unit, prompt_tokens, answered)
        if used != amount:
            counters.correct(store, budget.name, windows, used - amount)


def release(store: TenantStore, caps: Caps, reserved: Reservation) -> None:
    """Give back what was reserved for a call that was refused."""
    settle(store, caps, reserved, 0, 0)


def limited(params: Mapping[str, Any], answer: int | None, provider: str) -> dict[str, Any]:
    """The parameters of a model call, with this limit on its answer."""
    if answer is None:
        return dict(params)
    # OpenAI's newer models refuse the older name, and other servers may not know the newer one.
    newer = "max_completion_tokens" in params or (provider == "openai" and "max_tokens" not in params)
    name = "max_completion_tokens" if newer else "max_tokens"
    return {**params, name: min(answer, params.get(name) or answer)}


def _take(
    store: TenantStore, caps: Caps, prompt: int, answer: int
) -> tuple[list[tuple[Budget, int, Mapping[str, int]]], Budget | None, int]:
    """Take from all budgets or none: what was taken, or the budget that had no room, and how much it had."""
    taken: list[tuple[Budget, int, Mapping[str, int]]] = []
    for budget in caps.budgets:
        amount = _amount(caps, budget.unit, prompt, answer)
        count = counters.take(store, budget.name, [limit_of(budget)], amount)
        if not count.accepted:
            release(store, caps, Reservation(taken=taken))
            return [], budget, count.remaining
        taken.append((budget, amount, count.windows))
    return taken, None, 0


def limit_of(budget: Budget) -> Limit:
    """A budget as the counters take it."""
    if budget.unit == "tokens":
        return limits.read(budget.limit)
    money, _, unit = budget.limit.partition("/")
    return Limit(picodollars(money), unit)


def _amount(caps: Caps, unit: str, prompt: int, answer: int) -> int:
    if unit == "tokens":
        return prompt + answer
    assert caps.price is not None  # noqa: S101 - a run with a cap on money does not begin without a price
    return caps.price.of(prompt, answer)


def _fitting(caps: Caps, unit: str, prompt: int, left: int) -> int:
    """The longest answer that fits what is left, in tokens."""
    if unit == "tokens":
        return left - prompt
    assert caps.price is not None  # noqa: S101 - as above
    rest = left - caps.price.of(prompt, 0)
    return rest // caps.price.answer if caps.price.answer else (_ANSWER_TOKENS if rest >= 0 else -1)
