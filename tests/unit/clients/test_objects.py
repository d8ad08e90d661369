"""The bucket: where links and forms lead."""

import io

import pytest

from shared.clients import aws, objects


def test_links_and_forms_lead_to_the_buckets_own_region() -> None:
    """The host of all regions sends requests for a young bucket on, and a form is not sent on."""
    host = "https://uploads.s3.eu-central-1.amazonaws.com/"
    assert objects.form("uploads/t/x", "application/gzip", 1, "00" * 32, 60)["url"] == host
    assert objects.link("uploads/t/x", "x.tar.gz", 60).startswith(f"{host}uploads/t/x?")


def test_an_object_larger_than_asked_for_is_not_read() -> None:
    aws.s3().put_object(Bucket=objects.bucket(), Key="uploads/t/large", Body=b"12345")
    found = io.BytesIO()
    with pytest.raises(objects.TooLarge):
        objects.fetch("uploads/t/large", found, 4)
    assert found.getvalue() == b""
    objects.fetch("uploads/t/large", found, 5)
    assert found.getvalue() == b"12345"
    with pytest.raises(FileNotFoundError):
        objects.fetch("uploads/t/nothing", found, 5)
