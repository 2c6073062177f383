"""What an error of a bucket means, in words that name what to mend. Pure functions of the error's text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

#: What a request wanted, and what allows it, by method; a list is a GET.
_WANTED = {
    "LIST": ("list", "s3:ListBucket"),
    "GET": ("read", "s3:GetObject"),
    "HEAD": ("read", "s3:GetObject and s3:ListBucket"),
    "PUT": ("write", "s3:PutObject"),
    "POST": ("write", "s3:PutObject"),
    "DELETE": ("delete", "s3:DeleteObject"),
}
_REQUEST = re.compile(r"performing (GET|HEAD|PUT|POST|DELETE) (https?://[^\s\"]+)")
_ODD_NAME = re.compile(r'(?:object with invalid|Could not parse) path: [^"]*"((?:[^"\\]|\\.)*)"')
_KEYS = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, of a session, AWS_SESSION_TOKEN"


@dataclass(frozen=True)
class Refusal:
    """Why a request to a bucket failed, and what to do.

    Attributes:
        what: Why.
        mend: What to do.
        may_pass: The same request may succeed later although nobody mends anything.
    """

    what: str
    mend: str
    may_pass: bool = False


def refusal_of(text: str) -> Refusal | None:
    """What stands behind the text of an error, if that tells more than the error of one object.

    >>> text = "Error performing GET http://127.0.0.1:9000/media?list-type=2&prefix=a in 1ms - 403 Forbidden"
    >>> refusal_of(text).what
    'bucket media may not be listed (403 Forbidden)'
    >>> refusal_of("Server returned non-2xx status code: 503 Slow Down") is None
    True
    >>> refusal_of("400 Bad Request: <Code>RequestTimeout</Code>").may_pass
    True
    """
    odd = _ODD_NAME.search(text)
    if odd:
        return Refusal(f"object '{odd[1]}' has a name that cannot be read", "rename or remove it")
    asked = _REQUEST.search(text)
    method, url = (asked[1], asked[2]) if asked else ("GET", "")
    bucket = _bucket_of(url)
    if "169.254.169.254" in url or "169.254.170." in url:
        return Refusal("there are no credentials for buckets", f"set {_KEYS}")
    if "NoSuchBucket" in text or ("404 Not Found" in text and "list-type=" in url):
        return Refusal(f"there is no bucket {bucket}", "make it, or check the name, AWS_ENDPOINT_URL and AWS_REGION")
    code = re.search(r"<Code>(\w+)</Code>", text)
    if code and code[1] in {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}:
        return Refusal(f"bucket {bucket} does not know the credentials ({code[1]})", f"check {_KEYS}")
    if "redirect without LOCATION" in text or "AuthorizationHeaderMalformed" in text or "PermanentRedirect" in text:
        return Refusal(f"bucket {bucket} is in another region", "set AWS_REGION to the bucket's region")
    if "401 Unauthorized" in text:
        return Refusal(f"bucket {bucket} does not know the credentials (401 Unauthorized)", f"check {_KEYS}")
    if "403 Forbidden" in text:
        wanted, permission = _WANTED["LIST" if "list-type=" in url else method]
        how = {"list": "listed", "read": "read", "write": "written to", "delete": "deleted from"}[wanted]
        return Refusal(
            f"bucket {bucket} may not be {how} (403 {code[1] if code else 'Forbidden'})",
            f"allow {permission} to the key in AWS_ACCESS_KEY_ID, or use one that may",
        )
    if "error sending request" in text or (code and code[1] == "RequestTimeout"):
        host = urlsplit(url).netloc or "the endpoint"
        return Refusal(
            f"{host} does not answer", "check AWS_ENDPOINT_URL and the network, then try again", may_pass=True
        )
    if "400 Bad Request" in text:
        return Refusal(
            f"bucket {bucket} does not understand the request (400 Bad Request)",
            "check AWS_REGION and AWS_ENDPOINT_URL",
        )
    return None


def _bucket_of(url: str) -> str:
    """The bucket of a request, in the host (``bucket.s3.region.amazonaws.com``) or first in the path."""
    parts = urlsplit(url)
    label, _, rest = parts.netloc.partition(".s3")
    if rest and "amazonaws.com" in rest:
        return label
    return parts.path.strip("/").split("/")[0] or "?"
