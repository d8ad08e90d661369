"""Access tokens: whom the authorizer believes. Everything that it must not believe stands in `HOSTILE`."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from shared.domain import signing
from shared.domain.refresh_families import refusal
from shared.domain.scopes import ROLES
from shared.store import keys
from shared.store.table import Put, Remove, TenantStore
from tests.unit.conftest import Requests
from tests.unit.support.gateway import Api
from tests.unit.support.keys import authorize
from tests.unit.support.people import joined, register, said, signed_up, tokens

pytestmark = pytest.mark.covers("POST /auth/login", "POST /auth/logout")

Setting = Callable[[str, str | None], None]
Travel = Callable[[float], None]
Json = dict[str, Any]
SECRET = "secret-of-the-tokens-" * 3


def b64(data: bytes | str) -> str:
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).decode().rstrip("=")


def unb64(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=="))


class Forger:
    """Makes tokens of a good one: signed by the platform's own secret unless told otherwise."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.parts = token.split(".")
        self.header: Json = unb64(self.parts[0])
        self.claims: Json = unb64(self.parts[1])

    def signed(self, header: str, payload: str, secret: str = SECRET, digest: str = "sha256") -> str:
        body = f"{b64(header)}.{b64(payload)}"
        return f"{body}.{b64(hmac.new(secret.encode(), body.encode(), digest).digest())}"

    def claiming(self, **changed: Any) -> str:
        """With other claims; `...` leaves one out."""
        claims = {name: value for name, value in (self.claims | changed).items() if value is not ...}
        return self.signed(json.dumps(self.header), json.dumps(claims))

    def headed(self, **changed: Any) -> str:
        """With another header, rightly signed."""
        header = {name: value for name, value in (self.header | changed).items() if value is not ...}
        return self.signed(json.dumps(header), json.dumps(self.claims))

    def raw_claims(self, text: str) -> str:
        """With text put in before the last brace of the claims."""
        return self.signed(json.dumps(self.header), json.dumps(self.claims)[:-1] + text + "}")

    def raw_header(self, text: str) -> str:
        return self.signed(json.dumps(self.header)[:-1] + text + "}", json.dumps(self.claims))

    def with_part(self, place: int, text: str) -> str:
        return ".".join(text if number == place else part for number, part in enumerate(self.parts))


def flipped(part: str, place: int) -> str:
    """Another letter at one place."""
    return part[:place] + ("A" if part[place] != "A" else "B") + part[place + 1 :]


def respelled(signature: str) -> str:
    """The same bytes with other spare bits in the last letter, which a lax reader takes."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + letters[letters.index(signature[-1]) ^ 1]


HOSTILE: dict[str, Callable[[Forger], str]] = {
    "alg none": lambda f: f"{b64(json.dumps(f.header | {'alg': 'none'}))}.{f.parts[1]}.",
    "alg None": lambda f: f"{b64(json.dumps(f.header | {'alg': 'None'}))}.{f.parts[1]}.{f.parts[2]}",
    "alg nOnE": lambda f: f"{b64(json.dumps(f.header | {'alg': 'nOnE'}))}.{f.parts[1]}.{f.parts[2]}",
    "alg none, signed": lambda f: f.headed(alg="none"),
    "alg missing": lambda f: f.headed(alg=...),
    "alg a list": lambda f: f.headed(alg=["HS256"]),
    "alg HS384 over the same secret": lambda f: f.signed(
        json.dumps(f.header | {"alg": "HS384"}), json.dumps(f.claims), digest="sha384"
    ),
    "alg HS512 named, HS256 used": lambda f: f.headed(alg="HS512"),
    "alg RS256": lambda f: f.headed(alg="RS256"),
    "alg ES256": lambda f: f.headed(alg="ES256"),
    "alg hs256": lambda f: f.headed(alg="hs256"),
    "another secret": lambda f: f.signed(json.dumps(f.header), json.dumps(f.claims), secret="another-secret" * 4),
    "the empty secret": lambda f: f.signed(json.dumps(f.header), json.dumps(f.claims), secret=""),
    "the kid as secret": lambda f: f.signed(json.dumps(f.header), json.dumps(f.claims), secret=f.header["kid"]),
    "aud wrong": lambda f: f.claiming(aud="another"),
    "aud missing": lambda f: f.claiming(aud=...),
    "aud a list": lambda f: f.claiming(aud=["agent-platform"]),
    "iss wrong": lambda f: f.claiming(iss="https://evil.example"),
    "iss missing": lambda f: f.claiming(iss=...),
    "sub missing": lambda f: f.claiming(sub=...),
    "sub empty": lambda f: f.claiming(sub=""),
    "sub a number": lambda f: f.claiming(sub=1),
    "jti missing": lambda f: f.claiming(jti=...),
    "jti a path": lambda f: f.claiming(jti="../x"),
    "iat missing": lambda f: f.claiming(iat=...),
    "iat in the future": lambda f: f.claiming(iat=int(time.time()) + 60),
    "iat as text": lambda f: f.claiming(iat=str(f.claims["iat"])),
    "nbf in the future": lambda f: f.claiming(nbf=int(time.time()) + 60),
    "nbf true": lambda f: f.claiming(nbf=True),
    "exp missing": lambda f: f.claiming(exp=...),
    "exp null": lambda f: f.claiming(exp=None),
    "exp as text": lambda f: f.claiming(exp=str(f.claims["exp"])),
    "exp true": lambda f: f.claiming(exp=True),
    "exp a fraction": lambda f: f.claiming(exp=f.claims["exp"] + 0.5),
    "exp past": lambda f: f.claiming(exp=int(time.time()) - 1),
    "exp now": lambda f: f.claiming(exp=int(time.time())),
    "exp negative": lambda f: f.claiming(exp=-1),
    "exp beyond all calendars": lambda f: f.claiming(exp=10**18),
    "exp NaN": lambda f: f.signed(
        json.dumps(f.header), json.dumps(f.claims).replace(f'"exp": {f.claims["exp"]}', '"exp": NaN')
    ),
    "exp 1e400": lambda f: f.signed(
        json.dumps(f.header), json.dumps(f.claims).replace(f'"exp": {f.claims["exp"]}', '"exp": 1e400')
    ),
    "exp Infinity": lambda f: f.signed(
        json.dumps(f.header), json.dumps(f.claims).replace(f'"exp": {f.claims["exp"]}', '"exp": Infinity')
    ),
    "exp twice": lambda f: f.raw_claims(', "exp": 9999999999'),
    "tenant_id twice": lambda f: f.raw_claims(', "tenant_id": "tenant_b"'),
    "alg twice": lambda f: f.raw_header(', "alg": "HS256"'),
    "kid missing": lambda f: f.headed(kid=...),
    "kid unknown": lambda f: f.headed(kid="0" * 16),
    "kid empty": lambda f: f.headed(kid=""),
    "kid a path": lambda f: f.headed(kid="../../dev/null"),
    "kid SQL": lambda f: f.headed(kid="' UNION SELECT 'x"),
    "kid a list": lambda f: f.headed(kid=[f.header["kid"]]),
    "jku": lambda f: f.headed(jku="https://evil.example/keys.json"),
    "x5u": lambda f: f.headed(x5u="https://evil.example/cert.pem"),
    "jwk": lambda f: f.headed(jwk={"kty": "oct", "k": b64("evil")}),
    "x5c": lambda f: f.headed(x5c=["MIIB"]),
    "crit": lambda f: f.headed(crit=["exp"]),
    "b64 false": lambda f: f.headed(b64=False, crit=["b64"]),
    "zip": lambda f: f.headed(zip="DEF"),
    "cty JWT, nested": lambda f: f.signed(json.dumps(f.header | {"cty": "JWT"}), f.token),
    "nested JWS": lambda f: f.signed(json.dumps(f.header), f.token),
    "JWE": lambda f: ".".join([b64('{"alg":"dir","enc":"A256GCM"}'), "", b64("iv"), b64("text"), b64("tag")]),
    "typ missing": lambda f: f.headed(typ=...),
    "typ at+jwt": lambda f: f.headed(typ="at+jwt"),
    "typ refresh": lambda f: f.headed(typ="refresh"),
    "header a list": lambda f: f.signed("[]", json.dumps(f.claims)),
    "header no JSON": lambda f: f.signed("alg: HS256", json.dumps(f.claims)),
    "claims a list": lambda f: f.signed(json.dumps(f.header), json.dumps([f.claims])),
    "claims a text": lambda f: f.signed(json.dumps(f.header), '"sub"'),
    "claims no UTF-8": lambda f: f.with_part(1, b64(b"\xff\xfe")),
    "claims deep": lambda f: f.signed(json.dumps(f.header), "[" * 1_200 + "]" * 1_200),
    "1 MB": lambda f: f.claiming(padding="x" * 1_000_000),
    "over 4 KB": lambda f: f.claiming(padding="x" * 4_000),
    "header tampered": lambda f: f.with_part(0, flipped(f.parts[0], 5)),
    "claims tampered": lambda f: f.with_part(1, flipped(f.parts[1], 40)),
    "signature tampered": lambda f: f.with_part(2, flipped(f.parts[2], 0)),
    "signature cut": lambda f: f.token[:-1],
    "signature spelt otherwise": lambda f: f.with_part(2, respelled(f.parts[2])),
    "signature in base64 with padding": lambda f: f.token + "=",
    "signature empty": lambda f: f.with_part(2, ""),
    "claims empty": lambda f: f.with_part(1, ""),
    "header empty": lambda f: f.with_part(0, ""),
    "two parts": lambda f: ".".join(f.parts[:2]),
    "four parts": lambda f: f.token + "." + f.parts[2],
    "dots only": lambda f: "..",
    "unicode": lambda f: f.token[:-1] + "ü",
    "half a character": lambda f: f.token + "\ud800",
    "full-width letter": lambda f: f.token.replace("e", "\uff45", 1),
    "line break": lambda f: f.token + "\n",
    "two tokens": lambda f: f"{f.token} {f.token}",
    "tenant of another": lambda f: f.claiming(tenant_id="tenant_b"),
    "tenant that leaves its partition": lambda f: f.claiming(tenant_id="x#AGENT"),
    "tenant missing": lambda f: f.claiming(tenant_id=...),
    "user of nobody": lambda f: f.claiming(sub="01900000-0000-7000-8000-000000000000"),
    "login of nobody": lambda f: f.claiming(sid="01900000-0000-7000-8000-000000000000"),
    "login left out": lambda f: f.claiming(sid=...),
    "login a list": lambda f: f.claiming(sid=[f.claims["sid"]]),
    "key of nobody": lambda f: f.claiming(key_id="A" * 16),
    "test key where there is none": lambda f: f.claiming(
        key_id="test", tenant_id="00000000-0000-0000-0000-000000000001"
    ),
    "boot key of nobody": lambda f: f.claiming(key_id="boot:0123456789abcdef"),
    "scopes a text": lambda f: f.claiming(scopes="admin"),
    "scopes an object": lambda f: f.claiming(scopes={"admin": True}),
    "scopes missing": lambda f: f.claiming(scopes=...),
    "scopes of numbers": lambda f: f.claiming(scopes=[1]),
}


@pytest.fixture
def forger(api: Api) -> Forger:
    register(api)
    return Forger(tokens(api)["access_token"])


def test_a_good_token_is_believed(forger: Forger) -> None:
    """The forger's own way of signing, too: what is refused below is refused for what it says."""
    for token in (forger.token, forger.claiming(), forger.headed(), forger.claiming(nbf=int(time.time()) - 1)):
        assert said(token) is not None


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_token_is_refused(forger: Forger, name: str) -> None:
    assert len(HOSTILE) >= 40
    assert said(HOSTILE[name](forger)) is None
    assert said(forger.token) is not None


def test_what_is_not_signed_costs_no_read(forger: Forger, requests: Requests) -> None:
    never = [name for name in HOSTILE if not name.startswith(("tenant", "user", "login", "key", "boot", "test"))]
    for name in never:
        token = HOSTILE[name](forger)
        assert requests.of(lambda: said(token)) == [], name  # noqa: B023 - called at once


@pytest.mark.parametrize("header", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_scheme_has_any_case(forger: Forger, header: str) -> None:
    assert authorize(f"{header} {forger.token}", "authorization") is not None


@pytest.mark.parametrize("text", ["", "Bearer", "Bearer ", "Basic {}", "{}", "Token {}", "Bearer{}", "Bearer x{}"])
def test_other_schemes_are_refused(forger: Forger, text: str) -> None:
    assert authorize(text.format(forger.token), "Authorization") is None


def test_key_goes_before_token(api: Api, forger: Forger) -> None:
    headers = {"X-API-Key": api.make("/api-keys")["key"], "Authorization": f"Bearer {forger.token}"}
    answer = authorize(None, headers=headers)
    assert answer is not None
    assert answer["context"]["tenant_id"] == "tenant_a"
    assert authorize(None, headers=headers | {"X-API-Key": "nobody"}) is None
    assert authorize(None, headers=headers | {"X-API-Key": ""}) is not None, "no key at all"


def test_claims_are_document_1s(forger: Forger) -> None:
    claims = forger.claims
    assert forger.header == {"alg": "HS256", "kid": forger.header["kid"], "typ": "JWT"}
    assert claims.keys() == {"iss", "aud", "sub", "tenant_id", "scopes", "role", "exp", "iat", "jti", "sid"}
    assert (claims["iss"], claims["aud"], claims["scopes"]) == ("agent-platform", "agent-platform", ["admin"])
    assert claims["exp"] - claims["iat"] == 1_800
    assert jwt.decode(forger.token, SECRET, ["HS256"], audience="agent-platform") == claims


def test_token_ends_on_time_whatever_is_remembered(forger: Forger, travel: Travel, setting: Setting) -> None:
    setting("AUTHORIZER_CACHE_SECONDS", "3600")
    travel(1_790)
    assert said(forger.token) is not None
    travel(11)
    assert said(forger.token) is None


def test_token_costs_one_read_in_the_time_of_the_cache(forger: Forger, requests: Requests) -> None:
    assert requests.of(lambda: said(forger.token)) == ["BatchGetItem", "GetItem"], "the second is the tenant's record"
    assert requests.of(lambda: said(forger.token)) == []


def test_wider_scopes_than_the_users_role_are_cut(api: Api) -> None:
    admin = signed_up(api)
    joined(admin, "bob", "user")
    forger = Forger(tokens(api, "bob")["access_token"])
    told = said(forger.claiming(scopes=["admin", "tenants:write", "root"], role="admin"))
    assert told is not None
    assert (frozenset(told["scopes"].split()), told["role"]) == (ROLES["user"], "user")


def test_role_downgrade_takes_hold_of_tokens(api: Api, travel: Travel) -> None:
    admin = signed_up(api)
    bob = joined(admin, "bob", "admin")
    token = tokens(api, "bob")["access_token"]
    assert said(token)["scopes"] == "admin"  # type: ignore[index]
    assert admin.patch(f"/users/{bob.user}", {"role": "user"}).status == 200
    travel(61)
    assert frozenset(said(token)["scopes"].split()) == ROLES["user"]  # type: ignore[index]
    admin.patch(f"/users/{bob.user}", {"is_active": False})
    travel(61)
    assert said(token) is None


def test_deleted_user_is_nobody(api: Api, forger: Forger) -> None:
    claims = forger.claims
    TenantStore(claims["tenant_id"]).write(Remove(keys.user(claims["sub"])))
    assert said(forger.token) is None


def test_denied_token_is_refused(forger: Forger) -> None:
    TenantStore("x").write(Put(keys.denied_token(forger.claims["jti"]), "{}"))
    assert said(forger.token) is None


def test_login_of_another_user_is_not_taken(api: Api, forger: Forger) -> None:
    register(api, "bob")
    other = Forger(tokens(api, "bob")["access_token"])
    assert said(forger.claiming(sid=other.claims["sid"])) is None


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_other_algorithms(api: Api, setting: Setting, algorithm: str) -> None:
    setting("JWT_ALGORITHM", algorithm)
    setting("JWT_SECRET", "s" * 64)
    register(api)
    token = tokens(api)["access_token"]
    assert Forger(token).header["alg"] == algorithm
    assert said(token) is not None
    setting("JWT_ALGORITHM", "HS256")
    assert said(token) is None


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("JWT_SECRET", None, "JWT_SECRET is not set"),
        ("JWT_SECRET", "x" * 31, "at least 32 bytes"),
        ("JWT_SECRET_PREVIOUS", "short", "at least 32 bytes"),
        ("JWT_ALGORITHM", "none", "must be one of HS256, HS384, HS512"),
        ("JWT_ALGORITHM", "RS256", "must be one of HS256, HS384, HS512"),
    ],
)
def test_deployments_that_cannot_sign(setting: Setting, name: str, value: str | None, why: str) -> None:
    setting(name, value)
    with pytest.raises(RuntimeError, match=why):
        signing.sign({})


def test_refusals_do_not_say_why() -> None:
    assert refusal().detail == "The refresh token is not valid."
