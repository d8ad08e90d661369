"""What models cost, in whole numbers: a picodollar (10^-12) a token is a dollar for a million million tokens.

The built-in prices are OpenAI's list prices for the standard service tier as of 2025-10-01, without the discount for
cached input. `MODEL_PRICES` changes them and adds others, for the models of other providers too.
"""

import re
from decimal import Decimal

from pydantic import ConfigDict

from shared.config import model_prices
from shared.domain.fields import Inner
from shared.domain.models import split

AS_OF = "2025-10-01"

# Dollars for a million tokens: of the prompt, of the answer.
_OPENAI = {
    "gpt-3.5-turbo": ("0.50", "1.50"),
    "gpt-4-turbo": ("10.00", "30.00"),
    "gpt-4.1": ("2.00", "8.00"),
    "gpt-4.1-mini": ("0.40", "1.60"),
    "gpt-4.1-nano": ("0.10", "0.40"),
    "gpt-4o": ("2.50", "10.00"),
    "gpt-4o-mini": ("0.15", "0.60"),
    "gpt-5": ("1.25", "10.00"),
    "gpt-5-mini": ("0.25", "2.00"),
    "gpt-5-nano": ("0.05", "0.40"),
    "o3": ("2.00", "8.00"),
    "o4-mini": ("1.10", "4.40"),
}
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_PICODOLLARS = 10**12
_MILLION = 10**6


class Price(Inner):
    """Picodollars for a token of the prompt, and for one of the answer."""

    model_config = ConfigDict(frozen=True)

    prompt: int
    answer: int

    def of(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Picodollars for so many tokens."""
        return self.prompt * prompt_tokens + self.answer * completion_tokens


def price_of(model: str) -> Price | None:
    """The price of a model, such as `openai:gpt-4o-mini`; `None` if it is unknown."""
    provider, name = split(model)
    listed = model_prices()
    for full in (f"{provider}:{name}", f"{provider}:{_DATED.sub('', name)}"):
        if full in listed:
            return _price(*listed[full])
    found = _OPENAI.get(_DATED.sub("", name)) if provider == "openai" else None
    return _price(*found) if found else None


def _price(prompt: str, answer: str) -> Price:
    """Dollars for a million tokens as picodollars for one; what is smaller than that is rounded up."""
    return Price(prompt=_per_token(prompt), answer=_per_token(answer))


def _per_token(dollars: str) -> int:
    return -int(-picodollars(dollars) // _MILLION)


def picodollars(dollars: str) -> int:
    """An amount of money as it is counted."""
    return int(Decimal(dollars) * _PICODOLLARS)


def dollars(amount: int) -> str:
    """An amount of money as the API shows it: a decimal text, exact."""
    text = f"{Decimal(amount).scaleb(-12):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
