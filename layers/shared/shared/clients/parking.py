"""Where a stream's reader leaves what it cannot do, so that what comes behind it is not held up."""

import json
import os
from typing import Any

from shared.clients import aws


def park(record: Any, why: str) -> None:
    """Put a record of the table's stream into the queue of failures."""
    message = json.dumps({"error": why, "record": record}, default=str)
    aws.sqs().send_message(QueueUrl=os.environ["PROVISION_FAILED_QUEUE"], MessageBody=message)
