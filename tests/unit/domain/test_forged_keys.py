"""Keys that nobody made: none is accepted, and next to none costs a read."""

import random
from collections.abc import Iterator
from functools import partial

from shared.domain import api_keys
from tests.unit.conftest import Requests
from tests.unit.support.gateway import Api
from tests.unit.support.keys import authorize

LETTERS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def forgeries(key: str) -> Iterator[str]:
    """A million keys of nobody: random secrets behind a real key id, random keys, and a real key with something
    exchanged, swapped, cut out or put in. Letters come 4,096 bytes at a time, since there are many."""
    dice = random.Random(1)
    to_letters = bytes(LETTERS[n % 62] for n in range(256))

    def texts(length: int) -> Iterator[str]:
        while True:
            chunk = dice.randbytes(4_096).translate(to_letters).decode()
            yield from (chunk[start : start + length] for start in range(0, 4_096 - length, length))

    secrets, wholes, letters = texts(38), texts(54), texts(1)
    start, end = key[:-39], len(key) - 1
    for _ in range(250_000):
        secret = next(secrets)
        yield f"{start}{secret[:32]}_{secret[32:]}"
        whole = next(wholes)
        yield f"ap_dev_{whole[:16]}_{whole[16:48]}_{whole[48:]}"
        place = int(dice.random() * end)
        letter = next(letters)
        yield key[:place] + (letter if letter != key[place] else "-") + key[place + 1 :]
        yield key[:place] + letter + key[place + int(dice.random() * 2) + (letter == key[place]) :]


def test_a_million_forged_keys(api: Api, requests: Requests) -> None:
    """None is accepted, and the checksum refuses all but a few without a read."""
    key = api.make("/api-keys")["key"]
    requests.clear()
    tried, accepted = 0, 0
    for forged in forgeries(key):
        tried += 1
        accepted += forged != key and api_keys.identify(forged) is not None
    assert (tried, accepted) == (1_000_000, 0)
    assert len(requests) <= tried // 10_000, "99.99 % cost no read"
    assert api_keys.identify(key) is not None


def test_forged_keys_with_a_checksum_are_never_accepted(api: Api, requests: Requests) -> None:
    key = api.make("/api-keys")["key"]
    start = key[: -len("_".join(key.split("_")[3:]))]
    for n in range(50):
        body = start + f"{n:032d}"
        forged = f"{body}_{api_keys.checksum(body)}"
        assert requests.of(partial(authorize, forged)) == ["GetItem"], "not even its maker is looked up"
        assert authorize(forged) is None
