"""The gateway's usage plans: who may pass by which key, and how fast. The emulator keeps them and enforces nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local import deploy

# API Gateway, too, takes a while to follow its control plane.
_KNOWN_SECONDS = 5.0
RETRY_SECONDS = 0.2


@dataclass(slots=True)
class Bucket:
    """A token bucket: `burst` at once, `rate` a second after that."""

    rate: float
    burst: float
    left: float
    at: float

    def take(self, now: float) -> bool:
        """Whether one more may pass."""
        self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class UsagePlans:
    """The plans of one stage, read from the emulator when they are needed.

    Args:
        read: the rate and the burst of each key's plan, by the key's value; blocking.
    """

    def __init__(self, read: Callable[[], dict[str, tuple[float, float]]]) -> None:
        self._read = read
        self._buckets: dict[str, Bucket] = {}
        self._read_at = 0.0

    def must_read(self, key: str) -> bool:
        """Whether what is known is too old, or says nothing of this key."""
        age = time.monotonic() - self._read_at
        return age > (_KNOWN_SECONDS if key in self._buckets else RETRY_SECONDS)

    def read(self) -> None:
        """Read the plans anew; a bucket whose plan did not change stays as full as it is."""
        buckets: dict[str, Bucket] = {}
        for key, (rate, burst) in self._read().items():
            old = self._buckets.get(key)
            same = old is not None and (old.rate, old.burst) == (rate, burst)
            buckets[key] = old if old is not None and same else Bucket(rate, burst, burst, time.monotonic())
        self._buckets = buckets
        self._read_at = time.monotonic()

    def refusal(self, key: str) -> str | None:
        """The gateway response that a request by this key gets; `None` if it may pass."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return "INVALID_API_KEY"
        return None if bucket.take(time.monotonic()) else "THROTTLED"


def reader(url: str, api_id: str, stage: str) -> Callable[[], dict[str, tuple[float, float]]]:
    """Reads the plans of a stage from the emulator."""
    client = deploy.client("apigateway", url)

    def read() -> dict[str, tuple[float, float]]:
        values = {key["id"]: key["value"] for key in _all(client, "get_api_keys", includeValues=True)}
        found: dict[str, tuple[float, float]] = {}
        for plan in _all(client, "get_usage_plans"):
            throttle = plan.get("throttle")
            if throttle and (api_id, stage) in _stages(plan):
                for key in _all(client, "get_usage_plan_keys", usagePlanId=plan["id"]):
                    # A key made since the first list is for the next reading.
                    if key["id"] in values:
                        found[values[key["id"]]] = float(throttle["rateLimit"]), float(throttle["burstLimit"])
        return found

    return read


def _stages(plan: dict[str, Any]) -> set[tuple[str, str]]:
    return {(str(stage["apiId"]), str(stage["stage"])) for stage in plan.get("apiStages", ())}


def _all(client: Any, operation: str, **arguments: Any) -> list[Any]:
    pages = client.get_paginator(operation).paginate(**arguments)
    return [item for page in pages for item in page.get("items", ())]
