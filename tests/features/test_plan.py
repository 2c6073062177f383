"""Counting down the whole chain, before anything is computed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmfs.errors import FeatureError, ModelError
from mmfs.features.clip import ClipEmbeddings
from mmfs.features.feature import Feature, Scalar, feature
from mmfs.features.plan import Plan, above, in_order, plan, plan_features
from mmfs.features.runner import run_feature
from mmfs.settings import ClipConfig
from mmfs.store import Store
from tests.conftest import add_media
from tests.features.chain import Factor, First, Frame, RewrittenFirst, Second, Third, put_frames, time_of
from tests.features.tiny import SHARD, write_clip

SHARDS = (SHARD, "000002")
TABLES = ("firsts", "seconds", "thirds")


@pytest.fixture(autouse=True)
def _nothing_broken() -> Iterator[None]:
    yield
    Third.broken = set()


def counted(plans: dict[str, Plan]) -> list[int]:
    return [plans[table].to_compute for table in TABLES]


def run_all(store: Store, features: list[Feature], shards: tuple[str, ...] = SHARDS) -> list[int]:
    """Rows tried by each feature, in order."""
    tried = []
    for one in features:
        reports = [run_feature(store, one, shard) for shard in shards]
        tried.append(sum(report.computed + report.quarantined for report in reports))
    return tried


def test_the_plan_of_one_feature_sums_all_shards_and_names_causes(
    store: Store, frames: Callable[..., None], tmp_path: Any
) -> None:
    frames(range(4))
    frames(range(10, 13), shard="000002")
    run_feature(store, ClipEmbeddings(store.settings.clip), SHARD)
    other = ClipEmbeddings(ClipConfig(model=f"local-dir:{write_clip(tmp_path / 'other', seed=9)}"))
    found = plan(store, other)
    assert (found.rows, found.fresh, found.stale, found.missing) == (7, 0, 4, 3)
    assert found.causes == {"weights": 4, "new": 3}
    assert found.to_compute == 7
    assert [shard.shard for shard in found.shards] == [SHARD, "000002"]


def test_tables_that_do_not_exist_yet_are_planned_with_all_their_rows(store: Store) -> None:
    put_frames(store, [(n, i, "f1") for n in range(3) for i in range(2)])
    chain = [First(), Second(), Third()]
    plans = plan_features(store, chain, SHARDS)
    assert counted(plans) == [6, 6, 6]
    assert plans["thirds"].causes == {"new": 6}
    assert "firsts" not in store.tables.names()
    assert plan(store, Third()).shards == ()
    assert run_all(store, chain) == [6, 6, 6]


@pytest.mark.parametrize(
    ("change", "causes"),
    [
        (lambda: [First(Factor(factor=5.0)), Second(), Third()], ["config", "upstream", "upstream"]),
        (lambda: [RewrittenFirst(), Second(), Third()], ["code", "upstream", "upstream"]),
        (lambda: [First(), _weighted(Second()), Third()], [None, "weights", "upstream"]),
        (lambda: [First(), Second(), _weighted(Third())], [None, None, "weights"]),
    ],
)
def test_a_change_counts_for_everything_below_it(
    store: Store, change: Callable[[], list[Feature]], causes: list[str | None]
) -> None:
    put_frames(store, [(n, i, "f1") for n in range(3) for i in range(2)])
    run_all(store, [First(), Second(), Third()])
    chain = change()
    plans = plan_features(store, chain, SHARDS)
    assert [plans[table].causes for table in TABLES] == [{cause: 6} if cause else {} for cause in causes]
    assert run_all(store, chain) == counted(plans)
    assert counted(plan_features(store, chain, SHARDS)) == [0, 0, 0]


def test_a_frame_that_changed_counts_for_what_reads_it_and_for_what_reads_the_row_before(store: Store) -> None:
    put_frames(store, [(1, index, "f1") for index in range(4)])
    chain = [First(), Second(), Third()]
    run_all(store, chain)
    put_frames(store, [(1, index, "f2" if index == 1 else "f1") for index in range(4)])
    plans = plan_features(store, chain, SHARDS)
    assert counted(plans) == [1, 2, 2]
    assert run_all(store, chain) == [1, 2, 2]


def test_features_that_will_not_run_are_read_as_they_are(store: Store) -> None:
    put_frames(store, [(n, 0, "f1") for n in range(4)])
    run_all(store, [First(), Second(), Third()])
    changed = First(Factor(factor=5.0))
    assert plan_features(store, [changed, Third()], SHARDS)["thirds"].to_compute == 0
    assert plan_features(store, [changed, Second(), Third()], SHARDS)["thirds"].to_compute == 4


def test_rows_that_failed_are_expected_to_have_no_rows_below_them(store: Store) -> None:
    put_frames(store, [(n, 0, "f1") for n in range(6)])
    run_all(store, [First(), Second()])
    Third.broken = {time_of(2, 0)}
    run_all(store, [Third()])
    plans = plan_features(store, [Third(), Fourth()], SHARDS)
    assert (plans["thirds"].failed, plans["thirds"].to_compute) == (1, 0)
    assert (plans["fourths"].rows, plans["fourths"].to_compute) == (5, 5)
    assert [report.computed for report in (run_feature(store, Fourth(), SHARD),)] == [5]


def test_gone_rows_are_counted_and_leave_nothing_below_them(store: Store) -> None:
    put_frames(store, [(n, 0, "f1") for n in range(6)])
    chain = [First(), Second(), Third()]
    run_all(store, chain)
    put_frames(store, [(n, 0, "f1") for n in range(4)])
    plans = plan_features(store, chain, SHARDS)
    assert counted(plans) == [0, 0, 0]
    assert [plans[table].gone for table in TABLES] == [2, 2, 2]
    assert [plans[table].rows for table in TABLES] == [4, 4, 4]


def test_columns_of_media_join_at_any_place_of_the_chain(store: Store) -> None:
    add_media(store, SHARD, list(range(5)))
    put_frames(store, [(n, 0, "f1") for n in range(8)])
    plans = plan_features(store, [First(), Wide()], [SHARD])
    assert (plans["firsts"].to_compute, plans["wides"].to_compute) == (8, 5)
    run_feature(store, First(), SHARD)
    assert run_feature(store, Wide(), SHARD).computed == 5


def test_a_feature_about_which_nothing_can_be_said_does_not_hide_the_others(store: Store) -> None:
    put_frames(store, [(n, 0, "f1") for n in range(3)])

    @feature(table="seconds", grain="frame", inputs=["firsts.value"])
    class Unknown(Second):
        """Its model is nowhere."""

        def weights_digest(self) -> str:
            raise ModelError("no such model", mend="choose another")

    plans = plan_features(store, [First(), Unknown(), Third()], SHARDS)
    assert plans["firsts"].to_compute == 3
    assert "no such model" in str(plans["seconds"].problem)
    assert plans["thirds"].problem == "it reads seconds, about which nothing can be said"
    assert plans["thirds"].shards == ()


@pytest.mark.parametrize("seed", [1, 2])
def test_after_any_edits_a_run_tries_exactly_the_rows_that_were_planned(store: Store, seed: int) -> None:
    any_edits(store, seed, steps=5)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 30))
def test_after_many_edits_a_run_tries_exactly_the_rows_that_were_planned(store: Store, seed: int) -> None:
    any_edits(store, seed, steps=25)


def any_edits(store: Store, seed: int, *, steps: int) -> None:
    """Change anything, plan, run; again and again."""
    rng = random.Random(seed)
    frames: dict[str, set[Frame]] = {shard: set() for shard in SHARDS}
    firsts: list[type[First]] = [First, RewrittenFirst]
    version = {"first": First, "factor": 2.0, "weights": ["w0", "w0", "w0"]}

    def features() -> list[Feature]:
        chain: list[Any] = [version["first"](Factor(factor=version["factor"])), Second(), Third()]  # type: ignore[operator]
        for one, weights in zip(chain, version["weights"], strict=True):  # type: ignore[call-overload]
            one.weights = weights
        return chain

    for step in range(steps):
        for _ in range(rng.randint(1, 3)):
            shard = rng.choice(SHARDS)
            match rng.choice(["add", "add", "drop", "touch", "code", "config", "weights", "break"]):
                case "add":
                    number = rng.randrange(40) + 100 * SHARDS.index(shard)
                    known = {frame[:2] for frame in frames[shard]}
                    frames[shard] |= {(number, i, "f0") for i in range(rng.randint(1, 4)) if (number, i) not in known}
                case "drop":
                    frames[shard] -= set(rng.sample(sorted(frames[shard]), len(frames[shard]) // 3))
                case "touch":
                    touched = set(rng.sample(sorted(frames[shard]), len(frames[shard]) // 3))
                    frames[shard] = frames[shard] - touched | {(n, i, f"f{step}.{n}") for n, i, _ in touched}
                case "code":
                    version["first"] = rng.choice(firsts)
                case "config":
                    version["factor"] = rng.choice([2.0, 3.0])
                case "weights":
                    version["weights"] = [rng.choice(["w0", "w1"]) for _ in range(3)]
                case "break":
                    known_times = [time_of(n, i) for n, i, _ in frames[shard]]
                    Third.broken = set(rng.sample(known_times, min(2, len(known_times))))
        for shard in SHARDS:
            put_frames(store, frames[shard], shard)
        planned = plan_features(store, features(), SHARDS)
        assert run_all(store, features()) == counted(planned), f"seed {seed}, step {step}"
        left = plan_features(store, features(), SHARDS)
        assert counted(left) == [0, 0, 0]
        assert [left[table].gone for table in TABLES] == [0, 0, 0]
        assert [left[table].rows for table in TABLES] == [planned[table].rows for table in TABLES]


def test_features_come_after_what_they_read(store: Store) -> None:
    specs = [Third.spec, Second.spec, ClipEmbeddings.spec, First.spec]
    order = [spec.table for spec in in_order(specs)]
    assert order.index("firsts") < order.index("seconds") < order.index("thirds")
    assert above(["seconds"], {spec.table: spec for spec in specs}) == {"firsts", "seconds"}


def test_features_that_read_one_another_in_a_circle_are_named() -> None:
    @feature(table="firsts", grain="frame", inputs=["seconds.value"])
    class Backwards(First):
        """Reads what is computed from it."""

    with pytest.raises(FeatureError, match=r"in a circle: (firsts|seconds) -> (firsts|seconds) -> (firsts|seconds)"):
        in_order([Backwards.spec, Second.spec])


@feature(table="fourths", grain="frame", inputs=["thirds.value"])
class Fourth(Feature):
    """What is below the last of the chain."""

    outputs = {"value": Scalar("float64")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"value": batch["thirds.value"]}


@feature(table="wides", grain="frame", inputs=["firsts.value", "raw_media.width"])
class Wide(Feature):
    """A feature and a column of its media."""

    outputs = {"value": Scalar("float64")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(batch["firsts.value"], batch["raw_media.width"], strict=True)
        return {"value": [value * width for value, width in pairs]}


def _weighted(one: Any) -> Feature:
    one.weights = "w1"
    return one  # type: ignore[no-any-return]
