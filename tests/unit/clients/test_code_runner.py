"""The invocation of the function that runs agents' own code."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError
from urllib3 import HTTPResponse

from shared.clients import aws, code_runner
from shared.errors import RunnerUnavailable

Answering = Callable[..., list[AWSPreparedRequest]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """Makes Lambda answer like this; gives the list of the requests that it got."""
    monkeypatch.setenv("CODE_RUNNER", "runner")
    aws.lambda_.cache_clear()

    def answering(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> list[AWSPreparedRequest]:
        sent: list[AWSPreparedRequest] = []

        def answer(request: AWSPreparedRequest, **_: Any) -> Any:
            sent.append(request)
            if isinstance(body, Exception):
                raise body
            raw = HTTPResponse(io.BytesIO(json.dumps(body).encode()), preload_content=False)
            return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers or {}), raw)

        aws.lambda_().meta.events.register("before-send.lambda.Invoke", answer)
        return sent

    yield answering
    aws.lambda_.cache_clear()


def test_the_tenant_is_named_and_the_answer_comes_back(answers: Answering) -> None:
    sent = answers({"status": "succeeded"})
    for tenant in ("tenant_a", "tenant_b"):
        assert code_runner.invoke(tenant, {"entrypoint": "a:b"}) == {"status": "succeeded"}
    assert [request.headers["X-Amz-Tenant-Id"] for request in sent] == [b"tenant_a", b"tenant_b"]
    assert "/functions/runner/invocations" in str(sent[0].url)
    assert json.loads(cast(bytes, sent[0].body)) == {"entrypoint": "a:b"}


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        ({"errorType": "Runtime.ExitError"}, 200, {"X-Amz-Function-Error": "Unhandled"}),
        (["no", "object"], 200, {}),
        ({"message": "Rate exceeded"}, 429, {}),
        (EndpointConnectionError(endpoint_url="https://lambda"), 0, {}),
    ],
    ids=["it failed", "no answer", "throttled", "unreachable"],
)
def test_what_is_no_answer(answers: Answering, body: Any, status: int, headers: dict[str, str]) -> None:
    sent = answers(body, status, headers)
    with pytest.raises(RunnerUnavailable):
        code_runner.invoke("tenant_a", {})
    assert len(sent) == 1, "nothing is repeated from here"


def test_every_client_can_be_made() -> None:
    """The loader names the services itself: one that it leaves out would be missed in the cloud alone."""
    makers = [made for made in vars(aws).values() if hasattr(made, "cache_clear")]
    assert len(makers) >= 6
    for make in makers:
        make()
        make.cache_clear()
