"""Pages of Dagster's web server, as people are told of them."""

from urllib.parse import urlsplit, urlunsplit


def page_url(dagster_url: str | None, path: str) -> str | None:
    """Where a page is, without the user and password that ``MMFS_DAGSTER_URL`` may hold; None where it is not set.

    >>> page_url("https://user:pa55@dagster.example/base/", "runs/b/ab12")
    'https://dagster.example/base/runs/b/ab12'
    """
    if not dagster_url:
        return None
    parts = urlsplit(dagster_url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/{path}", "", ""))
