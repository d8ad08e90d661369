"""Secret settings: from the environment where an operator put one, else from Secrets Manager."""

import json
import os
from functools import cache

from shared.clients import aws


@cache
def secret(name: str) -> str | None:
    """The secret setting `name`.

    Read from the variable ``<name>``, else from the secret whose id stands in ``<name>_SECRET``. Kept for the life
    of the environment.
    """
    if value := os.environ.get(name):
        return value
    secret_id = os.environ.get(f"{name}_SECRET")
    if not secret_id:
        return None
    return aws.secretsmanager().get_secret_value(SecretId=secret_id)["SecretString"]


def versions(name: str) -> list[str]:
    """The secret setting `name`, and behind it the value it had before, if there is one; read anew each time.

    From the variables ``<name>`` and ``<name>_PREVIOUS``, else from the stages of the secret whose id stands in
    ``<name>_SECRET``.
    """
    if value := os.environ.get(name):
        return [value, *filter(None, [os.environ.get(f"{name}_PREVIOUS")])]
    secret_id = os.environ.get(f"{name}_SECRET")
    return [*_stage(secret_id, "AWSCURRENT"), *_stage(secret_id, "AWSPREVIOUS")] if secret_id else []


def _stage(secret_id: str, stage: str) -> list[str]:
    vault = aws.secretsmanager()
    try:
        return [vault.get_secret_value(SecretId=secret_id, VersionStage=stage)["SecretString"]]
    except vault.exceptions.ResourceNotFoundException:
        # A secret that was never rotated has no previous value.
        return []


@cache
def model_key(provider: str) -> str | None:
    """The API key of a model provider: ``<PROVIDER>_API_KEY``, else that field of the secret `MODEL_KEYS`."""
    name = f"{provider.upper()}_API_KEY"
    if value := os.environ.get(name):
        return value
    stored = secret("MODEL_KEYS")
    value = json.loads(stored).get(name) if stored else None
    return value if isinstance(value, str) and value else None
