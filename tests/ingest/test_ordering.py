"""Outcomes back in the order of their jobs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmfs.ingest.ordering import in_order
from mmfs.media import DecodedFrame, Failure, Reason, Sampled


def sampled(key: str, size: int) -> Sampled:
    return Sampled(key, [DecodedFrame(0, 0, 0.0, 1, 1, True, b"x" * size)], 0)


IDS = [f"{n}" for n in range(8)]


@given(st.permutations(IDS), st.sets(st.sampled_from(IDS)), st.integers(0, 5))
def test_every_outcome_comes_once_and_in_order_when_the_buffer_suffices(
    arrival: list[str], absent: set[str], failures: int
) -> None:
    outcomes: list[Sampled | Failure] = [
        Failure(key, Reason.CORRUPT, "", 1, {}) if int(key) < failures else sampled(key, 10)
        for key in arrival
        if key not in absent
    ]
    wide = [outcome.id for outcome in in_order(outcomes, IDS, absent=absent, buffer_bytes=1000)]
    assert wide == [key for key in IDS if key not in absent]
    narrow = [outcome.id for outcome in in_order(outcomes, IDS, absent=absent, buffer_bytes=25)]
    assert sorted(narrow) == wide


def test_the_buffer_is_bounded() -> None:
    drawn: list[str] = []

    def late_first() -> object:
        for key in [*IDS[1:], IDS[0]]:
            drawn.append(key)
            yield sampled(key, 10)

    first = next(in_order(late_first(), IDS, absent=(), buffer_bytes=25))  # type: ignore[arg-type]
    assert first.id == "1"
    assert len(drawn) == 3
