"""The pepper of the keys is rotated, and no key ends by it."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from shared.clients import aws, secrets
from shared.domain import api_keys, identities, key_digests
from shared.store import keys
from shared.store.table import Item, TenantStore, find_directory_entry
from tests.unit.conftest import Requests
from tests.unit.support.gateway import Api
from tests.unit.support.vault import Vault

Setting = Callable[[str, str | None], None]
Travel = Callable[[float], None]


@pytest.fixture
def vault(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> Vault:
    setting("API_KEY_PEPPER", None)
    setting("API_KEY_PEPPER_SECRET", "arn:pepper")
    return Vault("arn:pepper", "first").opened(monkeypatch)


def make(api: Api) -> str:
    return str(api.make("/api-keys")["key"])


def item_of(key: str) -> Item:
    item = find_directory_entry(keys.directory_entry(key.split("_")[2]))
    assert item is not None
    return item


def pepper_of(key: str) -> str:
    return str(json.loads(item_of(key).doc)["pepper"])


def fresh_environment() -> None:
    secrets.ring.cache_clear()
    identities._remembered.clear()


def test_key_from_before_works_and_is_hashed_anew_once(api: Api, vault: Vault, requests: Requests) -> None:
    key = make(api)
    before, known = item_of(key), api_keys.identify(key)
    vault.rotate("second")
    fresh_environment()
    uses = [requests.of(lambda: api_keys.identify(key)) for _ in range(3)]
    assert uses == [["GetItem", "GetItem", "UpdateItem", "UpdateItem"], *[["GetItem", "GetItem", "UpdateItem"]] * 2]
    assert pepper_of(key) == secrets.fingerprint(b"second")
    after = item_of(key)
    assert after.version == before.version + 1
    old, new = json.loads(before.doc), json.loads(after.doc)
    assert old["hash"] != new["hash"]
    assert {name: old[name] for name in old if name not in {"hash", "pepper"}} == {
        name: new[name] for name in new if name not in {"hash", "pepper"}
    }
    assert api_keys.identify(key) == known
    vault.rotate("third")
    fresh_environment()
    assert api_keys.identify(key) == known, "it followed, so the next rotation does not end it"


def test_key_that_was_not_used_ends_with_the_second_rotation(api: Api, vault: Vault) -> None:
    key = make(api)
    for value in ("second", "third"):
        vault.rotate(value)
    fresh_environment()
    assert api_keys.identify(key) is None
    assert pepper_of(key) == secrets.fingerprint(b"first")


def test_warm_environment_takes_keys_of_the_new_pepper_at_once(api: Api, vault: Vault, travel: Travel) -> None:
    old = make(api)
    warm = secrets.ring("API_KEY_PEPPER")
    vault.rotate("second")
    fresh_environment()
    new = make(api)
    assert pepper_of(new) == secrets.fingerprint(b"second")

    def as_the_warm_one(name: str) -> secrets.Ring:
        return warm

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_digests, "ring", as_the_warm_one)
        travel(2)
        assert api_keys.identify(new) is not None
        assert api_keys.identify(old) is not None
    assert pepper_of(new) == secrets.fingerprint(b"second"), "never back"


def test_warm_environment_makes_keys_by_the_new_pepper_within_five_minutes(
    api: Api, vault: Vault, travel: Travel
) -> None:
    make(api)
    vault.rotate("second")
    travel(299)
    assert pepper_of(make(api)) == secrets.fingerprint(b"first")
    travel(2)
    assert pepper_of(make(api)) == secrets.fingerprint(b"second")


def test_wrong_keys_are_refused_by_both_peppers(api: Api, vault: Vault, requests: Requests) -> None:
    key = make(api)
    vault.rotate("second")
    fresh_environment()
    body = key[:-8] + ("x" if key[-8] != "x" else "y")
    forged = f"{body}_{api_keys.checksum(body)}"
    assert requests.of(lambda: api_keys.identify(forged)) == ["GetItem"]
    assert api_keys.identify(forged) is None
    assert pepper_of(key) == secrets.fingerprint(b"first"), "a wrong key renews nothing"
    assert requests.of(lambda: api_keys.identify(key[:-1])) == []


def test_revoked_key_stays_revoked(api: Api, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    made = api.make("/api-keys")
    vault.rotate("second")
    fresh_environment()
    note = TenantStore.note

    def revoked_first(store: TenantStore, write: Any) -> None:
        assert api.delete(f"/api-keys/{made['id']}").status == 204
        note(store, write)

    monkeypatch.setattr(TenantStore, "note", revoked_first)
    api_keys.identify(made["key"])
    monkeypatch.undo()
    assert find_directory_entry(keys.directory_entry(made["key"].split("_")[2])) is None


def test_expired_key_is_not_renewed(api: Api, vault: Vault, travel: Travel) -> None:
    made = api.make("/api-keys", expires_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60)))
    vault.rotate("second")
    travel(3_600)
    assert api_keys.identify(made["key"]) is None
    assert pepper_of(made["key"]) == secrets.fingerprint(b"first")


def test_key_from_before_there_were_fingerprints(api: Api, vault: Vault) -> None:
    key = make(api)
    entry = keys.directory_entry(key.split("_")[2])
    doc = json.loads(item_of(key).doc)
    fingerprint = doc.pop("pepper")
    aws.dynamodb().update_item(
        TableName="table",
        Key={"pk": {"S": entry.partition}, "sk": {"S": entry.sort}},
        UpdateExpression="SET doc = :doc",
        ExpressionAttributeValues={":doc": {"S": json.dumps(doc)}},
    )
    vault.rotate("second")
    fresh_environment()
    assert api_keys.identify(key) is not None
    assert pepper_of(key) == secrets.fingerprint(b"second") != fingerprint
    assert api_keys.identify(key) is not None


def test_renewal_that_cannot_be_written_fails_nobody(api: Api, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make(api)
    vault.rotate("second")
    fresh_environment()

    def fail(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateItem")

    monkeypatch.setattr(aws.dynamodb(), "update_item", fail)
    assert api_keys.identify(key) is not None


def test_without_a_previous_stage(api: Api, vault: Vault) -> None:
    key = make(api)
    assert vault.asked == ["AWSCURRENT", "AWSPREVIOUS"]
    assert api_keys.identify(key) is not None


def test_without_any_value(api: Api, vault: Vault) -> None:
    key = make(api)
    vault.stages = {}
    fresh_environment()
    with pytest.raises(RuntimeError, match="API_KEY_PEPPER is not set"):
        api_keys.identify(key)


@pytest.mark.parametrize(
    "problem",
    [
        ClientError({"Error": {"Code": "InternalServiceError"}}, "GetSecretValue"),
        ConnectTimeoutError(endpoint_url="https://vault.example"),
    ],
)
def test_what_is_known_counts_while_the_vault_is_away(
    api: Api, vault: Vault, travel: Travel, problem: ClientError | ConnectTimeoutError
) -> None:
    key = make(api)
    vault.broken = problem
    vault.asked.clear()
    travel(301)
    for _ in range(10):
        assert api_keys.identify(key) is not None
    assert vault.asked == ["AWSCURRENT"], "not by every request"
    vault.broken = None
    vault.rotate("second")
    travel(11)
    assert api_keys.identify(key) is not None
    assert pepper_of(key) == secrets.fingerprint(b"second")


def test_vault_that_never_answered_is_an_error(vault: Vault) -> None:
    vault.broken = ClientError({"Error": {"Code": "InternalServiceError"}}, "GetSecretValue")
    with pytest.raises(ClientError):
        key_digests.made("key")


def test_fingerprints_of_nobody_do_not_ask_the_vault_each_time(vault: Vault, travel: Travel) -> None:
    entry = {"hash": "0" * 64, "pepper": "f" * 16}
    assert not key_digests.fits(entry, "key")
    vault.asked.clear()
    assert not any(key_digests.fits(entry, "key") for _ in range(100))
    assert vault.asked == []
    travel(2)
    assert not any(key_digests.fits(entry, "key") for _ in range(100))
    assert vault.asked == ["AWSCURRENT", "AWSPREVIOUS"]


def test_previous_pepper_of_the_settings(api: Api, setting: Setting) -> None:
    key = make(api)
    setting("API_KEY_PEPPER", "another")
    assert api_keys.identify(key) is None
    setting("API_KEY_PEPPER_PREVIOUS", "pepper" * 6)
    assert api_keys.identify(key) is not None
    assert pepper_of(key) == secrets.fingerprint(b"another")
