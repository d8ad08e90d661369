"""GET /health/db: that the table answers, and how fast."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Visitor, edge, public
from shared.domain import health

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/health/db", summary="Whether the table answers", tags=["health"])
def get_table_health(visitor: Annotated[Visitor, public()]) -> health.TableHealth:
    return health.table(visitor.store)
