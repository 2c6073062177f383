"""S3 on loopback: a server for all tests of a session, whose answers can be counted and broken."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

Fault = Literal["500", "503", "reset", "stall", "stall-in-body", "cut"]
FAULTS: tuple[Fault, ...] = ("500", "503", "reset", "stall", "stall-in-body", "cut")


@dataclass(frozen=True)
class Counts:
    """What the server answered since it was last told anything.

    Attributes:
        bytes_sent: Bytes of the bodies of whole answers to reads and lists, by path.
        requests: Whole answers to reads and lists, by path.
        others: Whole answers to all other requests, by method and path: ``HEAD /bucket/name``.
        broken: Broken answers, by fault.
    """

    bytes_sent: dict[str, int]
    requests: dict[str, int]
    others: dict[str, int]
    broken: dict[str, int]

    def bytes_of(self, part: str = "") -> int:
        """Bytes of the bodies of paths with this in them."""
        return sum(count for path, count in self.bytes_sent.items() if part in path)


@dataclass(frozen=True)
class S3Server:
    """A server and its address."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which obstore and delta-rs find it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def use(self, variables: pytest.MonkeyPatch) -> None:
        """Make it the S3 of this process."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            variables.delenv(name)
        for name, value in self.environment.items():
            variables.setenv(name, value)

    def make_bucket(self, name: str) -> str:
        """Make a bucket; its URL."""
        self._request("PUT", f"/{name}")
        return f"s3://{name}"

    def put(self, path: str, data: str) -> None:
        """Put an object under exactly this path, quoted as in a URL: also one that the library cannot name."""
        self._request("PUT", path, data)

    def break_reads(self, share: float, *faults: Fault, only: str = "", seed: int = 0) -> None:
        """From now on this share of all reads ends in one of these faults, drawn by a seeded generator.

        Args:
            only: Only paths with this in them are concerned.
        """
        order = {"share": share, "faults": faults or FAULTS, "only": only, "seed": seed}
        self._request("POST", "/_proxy", json.dumps(order))

    def refuse(self, part: str, *, method: str = "", status: int = 403, code: str = "AccessDenied") -> None:
        """From now on requests whose path has this in it are refused, until the server is told anything else.

        Args:
            part: For instance ``list-type=2`` for lists, or the name of an object.
            method: Only requests by this method; all by default.
        """
        order = {"share": 0.0, "faults": [], "only": "", "seed": 0, "refusals": [(method, part, status, code)]}
        self._request("POST", "/_proxy", json.dumps(order))

    def count_anew(self) -> None:
        """Break nothing, and forget what was counted."""
        self.break_reads(0.0)

    def counts(self) -> Counts:
        """What was read since the server was last told anything."""
        return Counts(**json.loads(self._request("GET", "/_proxy")))

    def _request(self, method: str, path: str, body: str = "") -> Any:
        connection = http.client.HTTPConnection(self.endpoint.removeprefix("http://"), timeout=20)
        connection.request(method, path, body, {"Content-Length": str(len(body))})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status == 200, data
        return data


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server that ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield S3Server(process.stdout.readline().strip())
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # the machine stood still for a while
            process.kill()
            process.wait()
        process.stdout.close()
