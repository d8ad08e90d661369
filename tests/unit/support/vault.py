"""A secret in Secrets Manager, with its stages."""

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from shared.clients import aws


class Vault:
    """Secrets Manager with one secret.

    Attributes:
        asked: the stages that were asked for. broken: it does not answer.
    """

    def __init__(self, secret_id: str, value: str) -> None:
        self._secret_id = secret_id
        self.stages = {"AWSCURRENT": value}
        self.asked: list[str] = []
        self.broken: ClientError | ConnectTimeoutError | None = None

    def opened(self, patch: pytest.MonkeyPatch) -> "Vault":
        """This, in place of Secrets Manager for a test."""
        patch.setattr(aws.secretsmanager(), "get_secret_value", self.get)
        return self

    def get(self, *, SecretId: str, VersionStage: str) -> dict[str, str]:  # noqa: N803 - as AWS names them
        assert SecretId == self._secret_id
        self.asked.append(VersionStage)
        if self.broken:
            raise self.broken
        if VersionStage not in self.stages:
            raise aws.secretsmanager().exceptions.ResourceNotFoundException({"Error": {"Code": "x"}}, "GetSecretValue")
        return {"SecretString": self.stages[VersionStage]}

    def rotate(self, value: str) -> None:
        self.stages = {"AWSCURRENT": value, "AWSPREVIOUS": self.stages["AWSCURRENT"]}
