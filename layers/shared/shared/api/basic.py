"""Credentials that a public route reads itself: a key, or an OAuth 2.0 client in `Authorization: Basic`."""

import base64
import binascii
from typing import Annotated
from urllib.parse import unquote_plus

from aws_lambda_powertools.event_handler.openapi.params import Header

XApiKey = Annotated[str | None, Header(alias="X-API-Key", description="A platform key.")]
BasicClient = Annotated[
    str | None,
    Header(alias="Authorization", description="`Basic` with the id of a key and the key, as OAuth 2.0 asks."),
]


def basic_client(authorization: str | None) -> tuple[str, str] | None:
    """Client id and secret (RFC 6749, section 2.3.1); `None` for any other header, or none."""
    kind, _, text = (authorization or "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        client_id, colon, secret = base64.b64decode(text.strip(" "), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (unquote_plus(client_id), unquote_plus(secret)) if colon else None
