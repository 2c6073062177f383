"""Jobs handed out so that none is late, and outcomes back in the order of their ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmfs.ingest.ordering import in_order, long_before_short
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


@given(st.lists(st.none() | st.floats(0, 1e6), max_size=80))
def test_all_media_are_handed_out_and_the_last_ones_longest_first(durations: list[float | None]) -> None:
    media = [{"media_id": number, "duration_s": duration} for number, duration in enumerate(durations)]
    handed = long_before_short(media)
    assert sorted(row["media_id"] for row in handed) == list(range(len(media)))
    assert handed[:-32] == media[:-32]
    last = [row["duration_s"] or 0.0 for row in handed[-32:]]
    assert last == sorted(last, reverse=True)
