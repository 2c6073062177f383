"""Guards that the tests of media share: starting decoding processes is what costs time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from mmfs.media import Guard
from mmfs.settings import GuardLimits

# Examples are slow on a busy machine, which is no failure.
settings.register_profile("media", deadline=None)
settings.load_profile("media")


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """A guard with the default limits."""
    with Guard(GuardLimits(), workers=2) as guard:
        yield guard
