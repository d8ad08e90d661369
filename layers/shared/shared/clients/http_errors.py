"""Why a call of ``shared.clients.http`` has no answer.

HttpError
|-- UrlInvalid         url_invalid          not an http(s) URL that we call
|-- RequestInvalid     request_invalid      the method, a header or the JSON body cannot be sent
|-- HostNotAllowed     host_not_allowed     the host is not in the allow-list
|-- AddressBlocked     address_blocked      the host has an address that is not public
|-- ConnectFailed      connect_failed       no name, no connection, no TLS; nothing was sent
|-- HttpTimeout        timeout              the time is up, whatever it was spent on
|-- RedirectRefused    redirect_refused     the answer points elsewhere
|-- AnswerTooLarge     answer_too_large     the body is longer than `max_bytes`
`-- ProtocolFailed     protocol_error       the answer is broken, cut short or encoded
"""

from typing import ClassVar


class HttpError(Exception):
    """A call that has no answer.

    Attributes:
        code: stable name of the reason.
        sent: whether a byte of the request may have reached the server. False: nothing happened there, so any
            call may be repeated. True: only an idempotent one.

    Messages name the host at most: no query, header, body or resolved address.
    """

    code: ClassVar[str] = "http_error"

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class UrlInvalid(HttpError):
    code = "url_invalid"


class RequestInvalid(HttpError):
    code = "request_invalid"


class HostNotAllowed(HttpError):
    code = "host_not_allowed"


class AddressBlocked(HttpError):
    code = "address_blocked"


class ConnectFailed(HttpError):
    code = "connect_failed"


class HttpTimeout(HttpError):
    code = "timeout"


class RedirectRefused(HttpError):
    code = "redirect_refused"


class AnswerTooLarge(HttpError):
    code = "answer_too_large"


class ProtocolFailed(HttpError):
    code = "protocol_error"
