"""Messages to the platform's queues."""

import json
import os
from collections.abc import Mapping
from typing import Any

from shared.clients import aws


def send(queue: str, message: Mapping[str, Any], *, group: str | None = None, once: str | None = None) -> None:
    """Send a message; 1 request.

    Args:
        queue: the setting that holds the queue's address.
        group: of a FIFO queue; its messages are worked on one after another.
        once: of a FIFO queue; another message with the same word is dropped for 5 minutes.
    """
    ordered: Any = {} if group is None else {"MessageGroupId": group, "MessageDeduplicationId": once}
    text = json.dumps(message, ensure_ascii=False)
    aws.sqs().send_message(QueueUrl=os.environ[queue], MessageBody=text, **ordered)
