"""The texts of errors as the libraries give them, and what is made of them."""

from __future__ import annotations

import doctest

import pytest

import mmfs.store.refusals
from mmfs.store.refusals import refusal_of

AT = "Error performing {} http://127.0.0.1:9000/{} in 1.5ms - Server returned non-2xx status code: {}"


@pytest.mark.parametrize(
    ("text", "what", "mend"),
    [
        (AT.format("GET", "media?list-type=2&prefix=a", "404 Not Found: <Error>"), "no bucket media", "the name"),
        (AT.format("GET", "media/a", "404 Not Found: <Code>NoSuchBucket</Code>"), "no bucket media", "the name"),
        (AT.format("GET", "media?list-type=2", "403 Forbidden: "), "may not be listed", "s3:ListBucket"),
        (AT.format("GET", "media/a", "403 Forbidden: <Code>AccessDenied</Code>"), "read (403 Acc", "s3:GetObject"),
        (AT.format("HEAD", "media/a", "403 Forbidden: "), "may not be read", "s3:ListBucket"),
        (AT.format("PUT", "media/a", "403 Forbidden: "), "may not be written to", "s3:PutObject"),
        (AT.format("DELETE", "media/a", "403 Forbidden: "), "may not be deleted from", "s3:DeleteObject"),
        (AT.format("GET", "media/a", "403 Forbidden: <Code>InvalidAccessKeyId</Code>"), "credentials", "AWS_ACCESS"),
        (AT.format("GET", "media/a", "401 Unauthorized: "), "credentials", "AWS_SECRET_ACCESS_KEY"),
        (AT.format("GET", "media/a", "400 Bad Request: "), "does not understand", "AWS_REGION"),
        (AT.format("HEAD", "media/a", "") + "Received redirect without LOCATION", "another region", "AWS_REGION"),
        (AT.format("GET", "media/a", "") + " HTTP error: error sending request", "127.0.0.1:9000", "AWS_ENDPOINT_URL"),
        ("performing PUT http://169.254.169.254/latest/api/token in 1ms", "no credentials", "AWS_ACCESS_KEY_ID"),
        ("performing GET https://media.s3.eu-west-1.amazonaws.com/a in 1ms - 403 Forbidden", "bucket media", "s3:Get"),
        ("performing GET https://s3.eu-west-1.amazonaws.com/media/a in 1ms - 403 Forbidden", "bucket media", "s3:Get"),
        (AT.format("PUT", "media/a", "400 Bad Request: <Code>RequestTimeout</Code>"), "127.0.0.1:9000", "the network"),
        ('Encountered object with invalid path: Path "b//c" contained empty path segment', "object 'b//c'", "rename"),
        ('Could not parse path: Error parsing Path "d/./e": Encountered illegal ".."', "object 'd/./e'", "rename"),
    ],
)
def test_a_refusal_is_told_with_bucket_and_setting(text: str, what: str, mend: str) -> None:
    refusal = refusal_of(f"Generic S3 error: {text}")
    assert refusal is not None
    assert what in refusal.what
    assert mend in refusal.mend
    assert refusal.may_pass == ("does not answer" in refusal.what)


@pytest.mark.parametrize(
    "text",
    [
        AT.format("GET", "media/a", "503 Slow Down"),
        AT.format("GET", "media/a", "404 Not Found: <Code>NoSuchKey</Code>"),
        "operation timed out",
        "",
    ],
)
def test_what_may_pass_or_concerns_one_object_is_no_refusal(text: str) -> None:
    assert refusal_of(text) is None


def test_examples_are_true() -> None:
    assert doctest.testmod(mmfs.store.refusals).failed == 0
