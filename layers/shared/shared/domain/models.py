"""Model names: ``<provider>:<model>``, such as ``openai:gpt-4o-mini``; without provider it is ``openai``."""

from typing import Annotated

from pydantic import AfterValidator, Field

from shared.config import model_base_url


def split(model: str) -> tuple[str, str]:
    """Provider and the provider's own name of the model."""
    provider, colon, name = model.partition(":")
    return (provider, name) if colon else ("openai", model)


def _known(model: str) -> str:
    provider, name = split(model)
    if not name or not model.isprintable() or " " in model:
        raise ValueError("must be <provider>:<model>")
    if model_base_url(provider) is None:
        raise ValueError(f"unknown model provider {provider!r}; it needs the setting {provider.upper()}_BASE_URL")
    return model


ModelName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_known)]
