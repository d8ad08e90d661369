"""Forms with a file, as browsers and programs send them."""

import base64

import pytest

from shared.api.files import read_form
from shared.errors import BadRequest
from tests.unit.support import tarballs, uploads
from tests.unit.support.gateway import Api


def read(kind: str, body: bytes) -> tuple[str, bytes]:
    return read_form(base64.b64encode(body).decode(), kind, is_base64=True)


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff" * 1_000, b"--", b"\r\n\r\n", b"\r\n--other\r\n", b"ends with\r\n"]
)
def test_bytes_come_out_as_they_went_in(content: bytes) -> None:
    assert read(*uploads.form(content, "a.tar.gz")) == ("a.tar.gz", content)


def test_other_fields_are_passed_over() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b'--b\r\nContent-Type: application/gzip\r\ncontent-disposition: form-data; filename="x.tar.gz"; name="file"\r\n'
        b"\r\nbytes\r\n--b--\r\n"
    )
    assert read('multipart/form-data; boundary="b"', body) == ("x.tar.gz", b"bytes")


KIND = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b""),
        (KIND, b""),
        (KIND, b"no form at all"),
        (KIND, b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nbreaks off'),
        (KIND, b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nno file name\r\n--b--'),
        (KIND, b'--b\r\nContent-Disposition: form-data; name="other"; filename="x"\r\n\r\n1\r\n--b--'),
        (KIND, b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n1\r\n' * 2 + b"--b--"),
        (KIND, b"--b\r\nno header\r\n--b--"),
        (KIND, b"--b\r\n\r\n" * 30 + b"--b--"),
    ],
)
def test_what_is_no_form_with_one_file_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(kind, body)


def test_a_body_must_be_base64_if_it_says_so() -> None:
    with pytest.raises(BadRequest):
        read_form("not base64!", KIND, is_base64=True)


def test_only_the_route_for_files_takes_forms(api: Api) -> None:
    kind, body = uploads.form(tarballs.agent())
    raw = base64.b64encode(body).decode()
    answer = api.post("/agents", raw=raw, headers={"content-type": kind}, isBase64Encoded=True)
    assert (answer.status, answer.code) == (400, "unsupported_content_type")
    agent = api.make("/agents", name="x")["id"]
    answer = uploads.post(api, agent, KIND, b"no form")
    assert (answer.status, answer.code) == (400, "invalid_form")
    assert api.post(f"/uploads/agent/{agent}").status == 422
