"""Secret settings: from the environment where an operator put one, else from Secrets Manager."""

import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping
from functools import cache

from botocore.exceptions import BotoCoreError, ClientError

from shared import config
from shared.clients import aws
from shared.telemetry import logger

KEPT_SECONDS = 300
"""A value that was rotated in counts in every environment within this time."""

# A value that is not known yet is looked for at once, but not by every request that names one of nobody's.
_LOOK_AGAIN_SECONDS = 1
_AFTER_FAILURE_SECONDS = 10


class Ring:
    """The values of a secret setting that count now: the current one and, behind it, the one before.

    Each has a fingerprint, which tells by which value something was made, and tells nothing of the value. Where
    Secrets Manager does not answer, the values that are known go on counting.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._values: Mapping[str, bytes] = {}
        self._read_at = self._failed_at = -float("inf")

    def values(self, seconds: float = KEPT_SECONDS) -> Mapping[str, bytes]:
        """The values by their fingerprints, the current one first, read at most so many seconds ago; 2 requests if
        they must be read. Empty if this deployment has no such secret.

        Raises:
            ClientError, BotoCoreError: they could not be read, and none are known.
        """
        now = time.monotonic()
        if now - self._read_at <= seconds or now - self._failed_at <= _AFTER_FAILURE_SECONDS:
            return self._values
        try:
            found = versions(self._name)
        except (ClientError, BotoCoreError):
            if not self._values:
                raise
            logger.warning("a secret could not be read again", extra={"setting": self._name}, exc_info=True)
            self._failed_at = now
            return self._values
        self._values = {fingerprint(value.encode()): value.encode() for value in found}
        self._read_at = now
        return self._values

    def value(self, wanted: str) -> bytes | None:
        """The value with this fingerprint; one that is not known is looked for, at most once a second."""
        return self.values().get(wanted) or self.values(_LOOK_AGAIN_SECONDS).get(wanted)

    def current(self) -> tuple[str, bytes] | None:
        """The fingerprint and the value by which new things are made."""
        return next(iter(self.values().items()), None)


@cache
def ring(name: str) -> Ring:
    """The one ring of a secret setting in this environment."""
    return Ring(name)


def fingerprint(value: bytes) -> str:
    """What tells a value from others and does not give it away."""
    return hmac.new(value, b"kid", hashlib.sha256).hexdigest()[:16]


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


def tool_secret(reference: str) -> str | None:
    """The secret of a tool: from the settings (`config.tool_secret`), else from the secret `ToolSecrets`, a JSON object
    of references and values; a value that was put in counts within `KEPT_SECONDS`."""
    value = config.tool_secret(reference)
    if value is not None:
        return value
    stored = ring("TOOL_SECRET_VALUES").current()
    if stored is None:
        return None
    try:
        values = json.loads(stored[1])
    except ValueError:
        values = None
    if not isinstance(values, dict):
        # Without the cause, which would quote what stands there.
        logger.error("the secret ToolSecrets is no JSON object")
        return None
    found = values.get(reference.removeprefix("SECRET_"))
    return found if isinstance(found, str) else None


@cache
def model_key(provider: str) -> str | None:
    """The API key of a model provider: ``<PROVIDER>_API_KEY``, else that field of the secret `MODEL_KEYS`."""
    name = f"{provider.upper()}_API_KEY"
    if value := os.environ.get(name):
        return value
    stored = secret("MODEL_KEYS")
    value = json.loads(stored).get(name) if stored else None
    return value if isinstance(value, str) and value else None
