"""Forms that upload to the emulator's buckets: it looks at their policy, and takes any signature, or none, for good."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

_SECRETS = {"test": "test"}
_EXPECTED = {
    "_enforce_signed_post_policy": ["fields", "bucket_name", "region", "size", "sigv4"],
    "_enforce_post_policy_size": ["policy_b64", "size"],
    "calculate_signature": ["secret", "date_stamp", "region", "service", "string_to_sign"],
}


def as_expected() -> bool:
    """Whether the emulator's insides are those that are changed here."""
    from ministack.services import s3

    return all(list(inspect.signature(getattr(s3, name)).parameters) == said for name, said in _EXPECTED.items())


def guard() -> None:
    """Let the emulator refuse forms whose policy nobody signed, as S3 does."""
    from ministack.services import s3

    enforce: Callable[..., Any] = s3._enforce_signed_post_policy

    def signed(fields: Mapping[str, str], bucket: str, region: str, size: int, sigv4: bool) -> Any:
        return enforce(fields, bucket, region, size, sigv4) if _is_signed(s3, fields) else refused()

    def refused(*_: Any) -> Any:
        detail = "The request signature we calculated does not match the signature you provided."
        return s3._error("SignatureDoesNotMatch", detail, 403)

    s3._enforce_signed_post_policy = signed
    s3._enforce_post_policy_size = refused


def _is_signed(s3: Any, fields: Mapping[str, str]) -> bool:
    scope = fields.get("x-amz-credential", "").split("/")
    if len(scope) != 5 or scope[0] not in _SECRETS:
        return False
    wanted = s3.calculate_signature(_SECRETS[scope[0]], scope[1], scope[2], scope[3], fields.get("policy", ""))
    return bool(s3.signatures_match(wanted, fields.get("x-amz-signature", "")))
