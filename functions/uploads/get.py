"""GET /uploads/agents/{agent_id}/artifacts/{filename}: a file that the tenant uploaded, by a redirect to the bucket."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, edge, redirected
from shared.domain import uploads

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get(
    "/uploads/agents/<agent_id>/artifacts/<filename>",
    summary="Download an upload",
    tags=["uploads"],
    status_code=302,
    responses={302: {"description": "The file is at the address in `Location` for a minute."}},
)
def get_upload(caller: Annotated[Caller, allowed("agents:read")], agent_id: str, filename: str) -> Response[None]:
    return redirected(uploads.link(caller.store, agent_id, filename))
