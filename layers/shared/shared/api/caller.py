"""Who calls, as the authorizer said, and what the route asks of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from aws_lambda_powertools.event_handler import Depends, Request

from shared import clock
from shared.domain import budgets
from shared.domain.audit import Subject
from shared.domain.budgets import Budget
from shared.domain.refresh_families import Token
from shared.domain.scopes import PLATFORM, holds
from shared.domain.tenants import TenantLimits
from shared.errors import Forbidden, Unauthorized
from shared.store.all_tenants import AllTenants
from shared.store.table import TenantStore


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent the request. The store reaches the caller's tenant and no other.

    Attributes:
        token: the access token that the request came with; `None` if it came with a key.
    """

    tenant_id: str
    user_id: str
    role: str
    scopes: frozenset[str]
    key_id: str
    trace_id: str
    source_ip: str
    store: TenantStore
    limits: TenantLimits
    key_budgets: list[Budget]
    token: Token | None = None

    @property
    def budgets(self) -> list[Budget]:
        """What the runs of this caller draw on."""
        return [*budgets.of_tenant(self.limits.tokens, self.limits.cost_usd), *self.key_budgets]

    @property
    def all_tenants(self) -> AllTenants:
        """Every tenant: for the operator of the platform and nobody else.

        Raises:
            Forbidden: the caller holds no scope of the operator.
        """
        if not self.scopes & PLATFORM:
            raise Forbidden("This is for the operator of the platform.", code="scope_missing")
        return AllTenants(self.store.new_id())


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sent a request to a public route: nobody that we know. The store is no tenant's.

    Attributes:
        subject: whoever finds out who it is says it here, for the audit.
    """

    trace_id: str
    source_ip: str
    store: TenantStore
    subject: Subject = field(default_factory=Subject)

    tenant_id: ClassVar[str] = "_public"

    @property
    def user_id(self) -> str:
        """Whose idempotency keys these are: the address's, for want of anything better."""
        return self.source_ip


FileReader = Callable[[dict[str, Any]], bytes | None]
"""What takes the file out of a request's event, if it has one."""


class Permission(Depends):
    """A route's demand for a scope. The edge finds it on the handler too, so that 403 comes before 400 and 422."""

    def __init__(self, scope: str, file: FileReader | None) -> None:
        super().__init__(self.resolve, use_cache=False)
        self.scope = scope
        self.file = file

    def resolve(self, request: Request) -> Caller:
        """The caller that the edge identified, if the scope is theirs.

        Raises:
            Forbidden: see `check`.
        """
        caller: Caller = request.context["caller"]
        check(caller.scopes, self.scope)
        return caller


class Authenticated(Depends):
    """A route's word that whoever is known may call: it tells callers of themselves."""

    def __init__(self) -> None:
        super().__init__(self.resolve, use_cache=False)

    def resolve(self, request: Request) -> Caller:
        """The caller that the edge identified."""
        caller: Caller = request.context["caller"]
        return caller


class Public(Depends):
    """A route's word that it needs no credentials. What says neither this nor the others is closed."""

    def __init__(self, form: bool) -> None:
        super().__init__(self.resolve, use_cache=False)
        self.form = form

    def resolve(self, request: Request) -> Visitor:
        """The visitor."""
        visitor: Visitor = request.context["caller"]
        return visitor


def public(*, form: bool = False) -> Public:
    """Declares, on a handler's parameter, that anybody may call: `Annotated[Visitor, public()]`.

    Args:
        form: the body may also be a form, whose fields then stand for the members of the JSON object.
    """
    return Public(form)


def authenticated() -> Authenticated:
    """Declares, on a handler's parameter, that a caller needs no scope: `Annotated[Caller, authenticated()]`."""
    return Authenticated()


def allowed(scope: str, *, file: FileReader | None = None) -> Permission:
    """Declares, on a handler's parameter, that the route needs this scope: `Annotated[Caller, allowed("...")]`.

    Args:
        file: the body may also be a form with a file, which this takes: `shared.api.files.take_file`.
    """
    return Permission(scope, file)


def check(scopes: frozenset[str], wanted: str) -> None:
    """Refuse who lacks a scope.

    Raises:
        Forbidden: names the scope.
    """
    if not holds(scopes, wanted):
        raise Forbidden(f"This needs the scope {wanted}.", code="scope_missing")


def identify(event: dict[str, Any], trace_id: str) -> Caller:
    """The caller of a request, from the authorizer's context and nowhere else.

    Raises:
        Unauthorized: no authorizer spoke for this request.
    """
    said = (event.get("requestContext") or {}).get("authorizer") or {}
    tenant_id = said.get("tenant_id")
    if not tenant_id:
        raise Unauthorized("A valid X-API-Key or Authorization: Bearer header is required.")
    return Caller(
        key_id=said.get("key_id", ""),
        source_ip=_source_ip(event),
        tenant_id=tenant_id,
        user_id=said.get("user_id", ""),
        role=said.get("role", ""),
        scopes=frozenset(said.get("scopes", "").split()),
        trace_id=trace_id,
        store=TenantStore(tenant_id),
        limits=TenantLimits.model_validate_json(said.get("limits") or "{}"),
        key_budgets=budgets.of_text(said.get("budgets", "")),
        token=_token(said),
    )


def _token(said: dict[str, Any]) -> Token | None:
    if "expires_at" not in said:
        return None
    return Token(said["key_id"], said.get("family_id", ""), clock.epoch(said["expires_at"]))


def visit(event: dict[str, Any], trace_id: str) -> Visitor:
    """The sender of a request to a public route."""
    return Visitor(trace_id=trace_id, source_ip=_source_ip(event), store=TenantStore(Visitor.tenant_id))


def _source_ip(event: dict[str, Any]) -> str:
    identity = (event.get("requestContext") or {}).get("identity") or {}
    return str(identity.get("sourceIp") or "")
