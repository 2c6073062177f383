"""Which packs are rewritten: the choice alone, without a byte."""

from __future__ import annotations

import doctest

from hypothesis import given, settings
from hypothesis import strategies as st

import mmfs.store.compaction_choice
from mmfs.store.compaction_choice import DEAD_SHARE, END_BYTES, MERGED_PACKS, PackUse, merged_bytes, packs_to_rewrite

MIB = 1 << 20
sizes = st.one_of(st.integers(END_BYTES, 4 * MIB), st.integers(END_BYTES, 900 * MIB))


@st.composite
def shards(draw: st.DrawFn) -> list[PackUse]:
    """Packs of a shard, some of them mostly dead."""
    found = []
    for number, size in enumerate(draw(st.lists(sizes, max_size=30))):
        live = draw(st.one_of(st.just(size), st.integers(END_BYTES, size)))
        found.append(PackUse(f"{number}.tar", size, live))
    return found


def rewritten(packs: list[PackUse]) -> list[PackUse]:
    """The shard after its chosen packs became one."""
    chosen = packs_to_rewrite(packs)
    kept = [pack for pack in packs if pack.path not in chosen]
    size = merged_bytes([pack for pack in packs if pack.path in chosen])
    return [*kept, PackUse("new.tar", size, size)] if chosen else kept


@given(shards())
@settings(max_examples=50, deadline=None)
def test_afterwards_no_pack_is_mostly_dead_no_size_class_is_full_and_nothing_is_left_to_do(
    packs: list[PackUse],
) -> None:
    after = rewritten(packs)
    assert not packs_to_rewrite(after)
    assert all(pack.dead_share <= DEAD_SHARE for pack in after)
    for low, high in ((0, MIB), (MIB, 8 * MIB), (8 * MIB, 64 * MIB)):
        assert sum(low <= pack.size_bytes < high for pack in after) < MERGED_PACKS


@given(shards())
@settings(max_examples=50, deadline=None)
def test_a_pack_is_chosen_for_a_reason_only(packs: list[PackUse]) -> None:
    chosen = packs_to_rewrite(packs)
    for pack in packs:
        if pack.path in chosen:
            assert pack.dead_share > DEAD_SHARE or pack.size_bytes < 64 * MIB
    if all(pack.dead_share <= DEAD_SHARE for pack in packs) and chosen:
        assert len(chosen) >= MERGED_PACKS


def test_two_hundred_days_of_one_pack_a_day_ends_with_few_packs_and_copies_no_byte_often() -> None:
    for day_bytes in (20_000, 300_000, 2 * MIB, 30 * MIB, 100 * MIB):
        packs: list[PackUse] = []
        copied = most = 0
        for day in range(200):
            packs.append(PackUse(f"{day}.tar", day_bytes, day_bytes))
            chosen = packs_to_rewrite(packs)
            if chosen:
                size = merged_bytes([pack for pack in packs if pack.path in chosen])
                packs = [pack for pack in packs if pack.path not in chosen] + [PackUse(f"{day}+.tar", size, size)]
                copied += size
            most = max(most, sum(pack.size_bytes < 64 * MIB for pack in packs))
        assert most <= 3 * (MERGED_PACKS - 1)
        assert copied <= 3 * 200 * day_bytes + 60 * MIB, day_bytes


def test_examples_are_true() -> None:
    assert doctest.testmod(mmfs.store.compaction_choice).failed == 0
