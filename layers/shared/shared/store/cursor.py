"""Cursors carry a sort key only, never a partition: a foreign cursor can point nowhere but into one's own list."""

import base64
import binascii

from shared.errors import BadRequest

_MAX_LENGTH = 512


def encode(sort: str) -> str:
    """An opaque cursor that continues after the item with this sort key."""
    return base64.urlsafe_b64encode(sort.encode()).decode().rstrip("=")


def decode(cursor: str) -> str:
    """The sort key in a cursor.

    Raises:
        BadRequest: this was never one of our cursors.
    """
    try:
        if not 0 < len(cursor) <= _MAX_LENGTH:
            raise ValueError
        sort = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        if not sort or not sort.isprintable():
            raise ValueError
    except (ValueError, binascii.Error) as error:
        raise BadRequest("The cursor is not valid.", code="invalid_cursor") from error
    return sort
