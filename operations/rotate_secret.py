"""Give the platform a new JWT secret or a new pepper, and sign nobody out.

The value before the new one stays behind it (AWSPREVIOUS) and still counts: tokens that it signed hold until they
expire, keys that were hashed with it hold and are hashed anew when they are used. Functions take the new value up
within 5 minutes, without a deployment. What the value before that one made ends now, so the command refuses

- while tokens of the last rotation may still be signed by it (--now goes on: after a leak, rotate twice);
- while there are keys that were not used since the last rotation of the pepper (--lose N gives up so many).

Without --yes it only says what it would do.
"""

import json
import secrets as random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from operations import command, scan, stack
from operations.command import Refused
from shared import clock
from shared.clients import aws
from shared.clients.secrets import KEPT_SECONDS, fingerprint
from shared.config import settings
from shared.store import keys

_SETTINGS = {"jwt": "JWT_SECRET_SECRET", "pepper": "API_KEY_PEPPER_SECRET"}
# 64 letters: as long as HS512 asks for.
_NEW_BYTES = 48
# An environment may have read the secret just before the rotation, and be at work with it for a while.
_AT_WORK_SECONDS = 60
_SHOWN_TENANTS = 10


@dataclass(frozen=True, slots=True)
class Version:
    """The value of a secret that counts, and since when. `is_first`: it was never rotated."""

    id: str
    fingerprint: str
    since: datetime
    is_first: bool


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("which", choices=sorted(_SETTINGS))
    parser.add_argument("--yes", action="store_true", help="do it")
    parser.add_argument("--now", action="store_true", help="do not wait for what the last rotation left behind")
    parser.add_argument("--lose", type=int, default=0, metavar="N", help="pepper: at most so many keys may end")
    arguments = parser.parse_args()
    deployed = stack.opened(arguments.stack, arguments.region)
    secret_id = stack.settings_of(deployed)[_SETTINGS[arguments.which]]
    version = current(secret_id)
    print(f"The {arguments.which} of {deployed.name} counts since {version.since:%Y-%m-%d %H:%M} UTC.")
    if not arguments.now:
        check_age(version, _lifetime(arguments.which))
    if arguments.which == "pepper":
        check_keys(version, arguments.lose)
    if not arguments.yes:
        print("Nothing was changed: --yes rotates it.")
        return
    rotate(secret_id, version)
    print(f"Rotated. All functions have the new value within {KEPT_SECONDS // 60} minutes.")


def current(secret_id: str) -> Version:
    """The version of a secret that counts; 3 requests."""
    vault = aws.secretsmanager()
    found = vault.get_secret_value(SecretId=secret_id, VersionStage="AWSCURRENT")
    try:
        vault.get_secret_value(SecretId=secret_id, VersionStage="AWSPREVIOUS")
        is_first = False
    except vault.exceptions.ResourceNotFoundException:
        is_first = True
    # Not when the version was made: an old one may have been made the current one again.
    since = vault.describe_secret(SecretId=secret_id)["LastChangedDate"].astimezone(UTC)
    return Version(found["VersionId"], fingerprint(found["SecretString"].encode()), since, is_first)


def check_age(version: Version, lifetime: timedelta) -> None:
    """Make sure that nothing is at work any more by the value before this one.

    Args:
        lifetime: how long what a value made lasts.

    Raises:
        Refused: the last rotation was too short a time ago.
    """
    until = version.since + lifetime + timedelta(seconds=KEPT_SECONDS + _AT_WORK_SECONDS)
    if not version.is_first and datetime.now(UTC) < until:
        raise Refused(f"What the value before it made may be in use until {until:%Y-%m-%d %H:%M} UTC. Wait, or --now.")


def check_keys(version: Version, lose: int) -> None:
    """Make sure that no more than `lose` keys would end; reads the whole table.

    Raises:
        Refused: more would.
    """
    waiting = keys_of_other_peppers(version.fingerprint)
    if not waiting:
        print("All keys that are valid are hashed with it.")
        return
    print(f"Hashed with the pepper before it, since they were not used: {waiting.total()} valid keys, by tenants:")
    for tenant_id, count in waiting.most_common(_SHOWN_TENANTS):
        print(f"  {tenant_id}: {count}")
    if waiting.total() > lose:
        raise Refused(f"They would end. Wait until they were used or revoked, or say --lose {waiting.total()}.")


def keys_of_other_peppers(wanted: str) -> Counter[str]:
    """How many keys of each tenant hold, and are hashed with another pepper than the one with this fingerprint."""
    found: Counter[str] = Counter()
    for page in scan.pages([keys.directory_entry("").partition]):
        for raw in page:
            entry = json.loads(raw["doc"]["S"])
            is_over = entry["expires_at"] is not None and entry["expires_at"] <= clock.now()
            if entry.get("pepper") != wanted and not is_over:
                found[entry["tenant_id"]] += 1
    return found


def rotate(secret_id: str, seen: Version) -> None:
    """Make a new value the current one, if the one seen still is.

    Raises:
        ClientError: somebody else rotated it meanwhile.
    """
    vault = aws.secretsmanager()
    made = vault.put_secret_value(
        SecretId=secret_id, SecretString=random.token_urlsafe(_NEW_BYTES), VersionStages=["AWSPENDING"]
    )
    # AWS moves AWSPREVIOUS to the version that loses AWSCURRENT, and refuses if that is not the one named.
    vault.update_secret_version_stage(
        SecretId=secret_id,
        VersionStage="AWSCURRENT",
        MoveToVersionId=made["VersionId"],
        RemoveFromVersionId=seen.id,
    )


def _lifetime(which: str) -> timedelta:
    """How long what a secret made lasts by itself: a token; not a key, which is hashed anew."""
    return timedelta(seconds=settings().access_token_seconds if which == "jwt" else 0)


if __name__ == "__main__":
    command.run(main)
