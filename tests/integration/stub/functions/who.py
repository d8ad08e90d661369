"""Tells who is calling, twice, with a pause in between that lets other threads in."""

import time
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

app = APIGatewayRestResolver()


@app.get("/who")
def who() -> dict[str, Any]:
    def caller() -> Any:
        return app.current_event.query_string_parameters["name"], app.lambda_context.aws_request_id

    before = caller()
    time.sleep(0.01)
    return {"before": before, "after": caller()}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return app.resolve(event, context)
