"""POST /uploads/agent/{agent_id}: upload an agent's code, with the request or by a form that the answer holds."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, created, edge
from shared.api.files import take_file, uploaded
from shared.domain import uploads

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/uploads/agent/<agent_id>", summary="Upload an agent's code", tags=["uploads"], status_code=201)
def create_upload(
    caller: Annotated[Caller, allowed("agents:write", file=take_file)],
    agent_id: str,
    draft: uploads.UploadCreate,
    file: Annotated[bytes | None, uploaded()] = None,
) -> Response[uploads.UploadedVersion]:
    version = uploads.begin(caller.store, agent_id, draft, file)
    return created(version, f"/agents/{version.agent_id}/versions/{version.version}", secret=version.upload is not None)
