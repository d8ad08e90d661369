"""GET /audit: what was asked of the tenant's things, by whom, and what came of it, newest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Query, Request, Response, allowed, edge, listed
from shared.domain import audit
from shared.domain.fields import Moment

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/audit", summary="List audit records", tags=["audit"])
def list_audit(
    caller: Annotated[Caller, allowed("audit:read")],
    request: Request,
    paging: Paging,
    user_id: Annotated[str | None, Query(max_length=200, description="Who called.")] = None,
    key_id: Annotated[str | None, Query(max_length=200, description="With which key or token.")] = None,
    action: Annotated[str | None, Query(max_length=100, description="Operation, such as create_agent.")] = None,
    outcome: Annotated[audit.Outcome | None, Query(description="How it ended.")] = None,
    path: Annotated[str | None, Query(max_length=300, description="What the path begins with.")] = None,
    since: Annotated[Moment | None, Query(description="Called at this time (ISO 8601) or later.")] = None,
    until: Annotated[Moment | None, Query(description="Called at this time (ISO 8601) or earlier.")] = None,
) -> Response[list[audit.AuditRecord]]:
    wanted = audit.AuditFilter(user_id, key_id, action, outcome, path, since, until)
    return listed(request, paging, partial(audit.find, caller.store, wanted), audit.read)
