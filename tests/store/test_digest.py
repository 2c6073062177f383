"""Content digests see values, not how they lie in memory."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mmfs.store.digest import combined_digest, content_digest

rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.text(max_size=5)),
        st.one_of(st.none(), st.integers(-5, 5)),
        st.one_of(st.none(), st.booleans()),
        st.binary(max_size=4),
    ),
    max_size=12,
)


def table(values: list[tuple[object, ...]]) -> pa.Table:
    columns = list(zip(*values, strict=True)) or [(), (), (), ()]
    kinds = (pa.string(), pa.int64(), pa.bool_(), pa.binary())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.Table.from_arrays(arrays, ["t", "n", "b", "v"])


@given(values=rows, cut=st.integers(0, 12))
def test_chunks_slices_and_column_order_do_not_matter(values: list[tuple[object, ...]], cut: int) -> None:
    whole = table(values)
    parts = pa.concat_tables([table(values[:cut]), table(values[cut:])])
    padded = table([("x", 1, True, b"y"), *values, ("x", 1, None, b"y")]).slice(1, len(values))
    assert content_digest(whole) == content_digest(parts) == content_digest(padded)
    assert content_digest(whole.select(["v", "b", "n", "t"])) == content_digest(whole)


@given(one=rows, other=rows)
def test_other_values_have_another_digest(one: list[tuple[object, ...]], other: list[tuple[object, ...]]) -> None:
    assert (content_digest(table(one)) == content_digest(table(other))) == (one == other)


def test_texts_do_not_run_into_each_other() -> None:
    assert content_digest(pa.table({"t": ["ab", "c"]})) != content_digest(pa.table({"t": ["a", "bc"]}))


def test_the_digest_of_a_table_depends_on_which_shard_holds_what() -> None:
    assert combined_digest({"1": "a", "2": "b"}) == combined_digest({"2": "b", "1": "a"})
    assert combined_digest({"1": "a", "2": "b"}) != combined_digest({"1": "b", "2": "a"})
