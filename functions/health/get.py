"""GET /health: that the API answers."""

from typing import Annotated

from shared.api import MOUNT, APIGatewayRestResolver, Request, Visitor, base_path, edge, public
from shared.domain.health import Health

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/health", summary="Whether the API answers", tags=["health"])
def get_health(visitor: Annotated[Visitor, public()], request: Request) -> Health:
    # Document 1 asks for the one word, document 2, whose API has this base path, for the other.
    return Health(status="healthy" if base_path(request) == MOUNT else "ok")
