"""GET /openapi.json: the committed document, with the address where it was asked for."""

import json
from functools import lru_cache
from typing import Annotated, Any

from shared.api import APIGatewayRestResolver, Request, Visitor, address, edge, public
from shared.api.pages import packaged

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@lru_cache(maxsize=8)
def _document(address: str) -> dict[str, Any]:
    # A link to the one at the root, which the layer's build follows.
    document: dict[str, Any] = json.loads(packaged("shared", "openapi.json"))
    document["servers"] = [{"url": address}]
    sign_in = document["components"]["securitySchemes"]["OAuth2"]["flows"]["clientCredentials"]
    sign_in["tokenUrl"] = f"{address}/auth/token"
    return document


@app.get("/openapi.json", summary="The description of this API", tags=["docs"])
def get_openapi_document(visitor: Annotated[Visitor, public()], request: Request) -> dict[str, Any]:
    return _document(address(request))
