"""Guards that the tests of media share: starting decoding processes is what costs time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmfs.media import Guard
from mmfs.settings import GuardLimits


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """A guard with the default limits."""
    with Guard(GuardLimits(), workers=2) as guard:
        yield guard
