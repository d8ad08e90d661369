"""GET /docs: the documentation in Swagger UI, of which Powertools brings a copy."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Response, Visitor, edge, public
from shared.api.pages import DOCUMENTED, packaged, page

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)

_FOLDER = "event_handler/openapi/swagger_ui"
_START = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#viewer", deepLinking: true, filter: true, layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis], persistAuthorization: false, validatorUrl: null
});"""


@app.get("/docs", summary="The documentation, to try out", tags=["docs"], responses=DOCUMENTED)
def show_swagger_ui(visitor: Annotated[Visitor, public()]) -> Response[str]:
    bundle = packaged("aws_lambda_powertools", f"{_FOLDER}/swagger-ui-bundle.min.js")
    style = packaged("aws_lambda_powertools", f"{_FOLDER}/swagger-ui.min.css")
    return page("Agent Platform", body='<div id="viewer"></div>', scripts=[bundle, _START], style=style)
