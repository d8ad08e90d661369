"""GET /openapi.json: the committed document, with the address where it was asked for."""

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Request

from shared.api import Visitor, address, edge, public

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@cache
def _document() -> dict[str, Any]:
    # A link to the one at the root, which the build follows.
    document: dict[str, Any] = json.loads((Path(__file__).parent / "openapi.json").read_text())
    return document


@app.get("/openapi.json", summary="The description of this API", tags=["docs"])
def get_openapi_document(visitor: Annotated[Visitor, public()], request: Request) -> dict[str, Any]:
    return _document() | {"servers": [{"url": address(request)}]}
