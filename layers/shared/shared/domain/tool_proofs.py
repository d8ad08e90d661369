"""How the platform proves to a tool who is calling: a key, a token of the tool's own issuer, or one of ours."""

import json
import time
from dataclasses import dataclass, field
from urllib.parse import quote

from shared.clients import http, oauth2, service_tokens
from shared.clients.address import parse_url
from shared.clients.oauth2 import Grant
from shared.clients.secrets import tool_secret
from shared.config import settings
from shared.domain.plans import PlannedTool
from shared.errors import ToolError


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom a tool is called. `agent_id` is empty in a run of kind `tool`."""

    tenant_id: str
    agent_id: str
    run_id: str
    tool_call_id: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What goes with a call.

    Attributes:
        secrets: texts that no answer of the tool may carry into the log.
        kept: the grant whose token was not asked for just now; the tool may refuse it although a new one holds.
    """

    headers: dict[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    kept: Grant | None = None

    def scrubbed(self, text: str) -> str:
        """The text without the secrets: a tool may echo its request."""
        for hidden in self.secrets:
            for form in {hidden, json.dumps(hidden)[1:-1], quote(hidden, safe="")}:
                text = text.replace(form, "[secret]")
        return text


def of(tool: PlannedTool, asker: Asker, deadline: float) -> Proof:
    """The proof for one call; 1 request if a token has to be asked for.

    Args:
        deadline: on the monotonic clock.

    Raises:
        ToolError: there is no secret, or no token.
    """
    match tool.auth_type:
        case "none":
            return Proof()
        case "api_key":
            secret, name = _secret(tool), tool.auth_config.header
            return Proof({name: secret} if name else {"Authorization": f"Bearer {secret}"}, (secret,))
        case "service":
            return _service(tool, asker)
        case "oauth2":
            return _oauth2(tool, asker, deadline)


def _service(tool: PlannedTool, asker: Asker) -> Proof:
    claims = {"run_id": asker.run_id, "tool_call_id": asker.tool_call_id}
    claims |= {"agent_id": asker.agent_id} if asker.agent_id else {}
    signed = service_tokens.sign(asker.tenant_id, parse_url(tool.endpoint or "").host, claims)
    if signed is None:
        raise ToolError("secret_missing", "This deployment has no JWT_SECRET to sign with.")
    return Proof({"Authorization": f"Bearer {signed}"}, (signed,))


def _oauth2(tool: PlannedTool, asker: Asker, deadline: float) -> Proof:
    config, secret = tool.auth_config, _secret(tool)
    grant = Grant(
        owner=(asker.tenant_id, tool.tool_id),
        token_url=config.token_url or "",
        client_id=config.client_id or "",
        client_secret=secret,
        scope=config.scope,
        audience=config.audience,
    )
    # Where the binding names domains, the client secret goes to no other either.
    allowed = frozenset(tool.allowed_domains) or frozenset({parse_url(grant.token_url).host})
    attempts = settings().tool_retry_attempts + 1
    for attempt in range(attempts):
        left_ms = int((deadline - time.monotonic()) * 1000)
        last = attempt + 1 == attempts or left_ms <= 1
        try:
            token = oauth2.token(
                grant,
                timeout_ms=max(1, left_ms),
                allowed_hosts=allowed,
                private_hosts=settings().tool_private_hosts,
            )
        except http.HttpError as error:
            if last or not isinstance(error, http.ConnectFailed):
                raise ToolError(error.code, f"The token server: {error}") from error
        except oauth2.TokenRefused as error:
            if last or not error.passing:
                raise ToolError("token_refused", f"No token for this call: {error}.") from error
        else:
            headers = {"Authorization": f"Bearer {token.value}"}
            return Proof(headers, (secret, token.value), grant if token.kept else None)
        time.sleep(min(0.1 * 2**attempt, max(0.0, deadline - time.monotonic())))
    raise AssertionError("the last attempt returns or raises")


def _secret(tool: PlannedTool) -> str:
    secret = tool_secret(tool.secrets_ref) if tool.secrets_ref else None
    if not secret:
        raise ToolError("secret_missing", "The binding names no secret that this deployment has.")
    return secret
