"""A bucket that refuses, as people meet it: what is said where, and how the command ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmfs.client import open_store
from mmfs.codecs import encode_jpeg
from mmfs.errors import StoreError
from mmfs.ingest import register_media
from mmfs.settings import Settings
from mmfs.store import Objects
from tests.cli.conftest import Run
from tests.features.tiny import picture
from tests.s3 import S3Server, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as found:
        found.make_bucket("media")
        yield found


@pytest.fixture(autouse=True)
def _at(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.use(monkeypatch)
    server.count_anew()


def ended(code: int, err: str, *parts: str) -> None:
    assert code == 1
    assert "Traceback" not in err
    assert "mend: " in err
    for part in parts:
        assert part in err, err


def test_ingest_says_which_bucket_may_not_be_listed_and_what_allows_it(
    server: S3Server, run: Run, tmp_path: Path
) -> None:
    server.refuse("list-type=2")
    code, _, err = run("ingest", "s3://media/set", "--store", str(tmp_path / "store"))
    ended(code, err, "bucket media may not be listed (403 AccessDenied)", "s3:ListBucket", "AWS_ACCESS_KEY_ID")


@pytest.mark.parametrize(
    ("refusal", "parts"),
    [
        ({"status": 403}, ["bucket media may not be read", "s3://media/store"]),
        ({"status": 400, "code": "AuthorizationHeaderMalformed"}, ["bucket media", "AWS_REGION"]),
        ({"status": 301, "code": "PermanentRedirect"}, ["another region", "AWS_REGION"]),
    ],
)
def test_a_store_that_may_not_be_opened_says_why(
    server: S3Server, run: Run, refusal: dict[str, object], parts: list[str]
) -> None:
    server.refuse("/media/store", **refusal)  # type: ignore[arg-type]
    code, _, err = run("tables", "--store", "s3://media/store")
    ended(code, err, *parts)


def test_a_store_in_a_bucket_that_may_not_be_written_is_not_made(server: S3Server, run: Run, tmp_path: Path) -> None:
    server.refuse("/media/store", method="PUT")
    code, _, err = run("ingest", str(tmp_path), "--store", "s3://media/store")
    ended(code, err, "bucket media may not be written to", "s3:PutObject")


def test_a_bucket_that_is_not_there_and_an_endpoint_that_is_none_are_told_apart(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run("ingest", str(tmp_path), "--store", "s3://no-such-bucket/store")
    ended(code, err, "there is no bucket no-such-bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, _, err = run("tables", "--store", "s3://media/store")
    ended(code, err, "127.0.0.1:9 does not answer", "AWS_ENDPOINT_URL")


def test_media_that_may_not_be_read_fail_their_shard_and_quarantine_nothing(server: S3Server, tmp_path: Path) -> None:
    Objects.open("s3://media/set").put("a.jpg", encode_jpeg(picture(1)))
    features = open_store(Settings(store=str(tmp_path / "store")))
    features.ingest(["s3://media/set"])
    server.refuse("/media/set/a.jpg")
    with pytest.raises(StoreError, match="bucket media may not be read"):
        register_media(features.core, "000000", now_us=1)
    server.count_anew()
    assert register_media(features.core, "000000", now_us=1).computed == 1
    assert features.core.tables.read("quarantine").num_rows == 0
