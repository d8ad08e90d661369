"""GET /redoc: the documentation in Redoc, from the package drf-spectacular-sidecar (see layers/shared/Makefile)."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Response, Visitor, edge, public
from shared.api.pages import DOCUMENTED, packaged, page

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)

_BUNDLE = "static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"
_START = 'Redoc.init("openapi.json", {}, document.getElementById("viewer"));'


@app.get("/redoc", summary="The documentation, to read", tags=["docs"], responses=DOCUMENTED)
def show_redoc(visitor: Annotated[Visitor, public()]) -> Response[str]:
    bundle = packaged("drf_spectacular_sidecar", _BUNDLE)
    return page("Agent Platform", body='<div id="viewer"></div>', scripts=[bundle, _START])
