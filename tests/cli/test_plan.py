"""``mmfs plan``: what it says before anything is computed."""

from __future__ import annotations

import doctest
import json
import math
from pathlib import Path

import pytest

import mmfs
import mmfs.cli.wording
from mmfs.cli.wording import causes_text, count_text, document, epochs_text, libraries_text, made, summary, total_time
from mmfs.features.history import Forecast, fitted
from mmfs.features.plan import Plan
from mmfs.features.runner import run_feature
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.costs import Cost
from mmfs.store.standing import Reads, ShardStatus
from tests.cli.conftest import Run
from tests.features.tiny import SHARD, add_frames

LAB = '''
from mmfs import Feature, Scalar, feature

@feature(table="brightness", grain="frame", inputs=["frames.image"])
class Brightness(Feature):
    """Mean of all pixels."""
    outputs = {"brightness": Scalar("float32")}

    def compute(self, batch):
        return {"brightness": batch["frames.image"].float().mean((1, 2, 3))}
'''


def status(new: int, *, failed: int = 0, estimated: int = 0, table: str = "t") -> ShardStatus:
    causes = {cause: rows for cause, rows in {"new": new, "failed": failed}.items() if rows}
    return ShardStatus(table, "0", new + failed, 0, 0, new, failed, 0, causes, estimated)


def planned(table: str, new: int, *, wall_s: float | None = None, estimated: int = 0) -> Plan:
    rates = fitted([Cost(10, 1.0)])
    forecast = Forecast(0, 0.0, wall_s, rates, True) if wall_s is not None else None
    return Plan(table, (status(new, estimated=estimated, table=table),), forecast)


def by_table(*plans: Plan) -> dict[str, Plan]:
    return {plan.table: plan for plan in plans}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Six frames put there by hand, and a feature."""
    (tmp_path / "cli_lab.py").write_text(LAB)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MMFS_FEATURES", "cli_lab")
    monkeypatch.setenv("MMFS_DEVICE", "cpu")
    store = Store.open(tmp_path / "store", settings=Settings())
    add_frames(store, list(range(6)))
    return store.url


def compute(url: str) -> None:
    from mmfs.features.registry import instantiate, registered

    store = mmfs.open_store(url)
    run_feature(store.core, instantiate(registered(store.settings)["brightness"], store.settings), SHARD)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(mmfs.cli.wording).failed == 0


def test_the_table_says_what_would_be_computed_and_what_was_never_measured(run: Run, url: str) -> None:
    code, out, _ = run("plan", "--store", url)
    line = next(line for line in out.splitlines() if line.startswith("brightness"))
    assert code == 0
    assert line.split() == ["brightness", "6", "0", "6", "new", "6", "0", "-", "-", "not", "measured", "yet", "-"]
    assert "rows to compute, time not measured yet" in out


def test_after_a_run_the_table_says_what_more_of_it_would_cost(run: Run, url: str) -> None:
    compute(url)
    code, out, _ = run("plan", "brightness", "--store", url)
    assert code == 0
    assert "every row is fresh" in out
    assert "epochs" in out
    assert "measured over 6 rows on" in out
    assert "computed with" in out
    add_frames(Store.open(url), list(range(8)))
    _, out, _ = run("plan", "brightness", "--store", url)
    assert "1 asset, 2 rows to compute, about" in out


def test_json_tells_every_number(run: Run, url: str) -> None:
    compute(url)
    add_frames(Store.open(url), list(range(8)))
    code, out, _ = run("plan", "brightness", "--store", url, "--json")
    (found,) = json.loads(out)
    assert code == 0
    assert (found["table"], found["rows"], found["fresh"], found["to_compute"]) == ("brightness", 8, 6, 2)
    assert found["causes"] == {"new": 2}
    assert found["wall_s"] > 0
    assert found["bytes_written"] > 0
    assert found["measured_on_this_device"] is True
    assert found["rates"]["rows"] == 6
    assert found["shards"][0]["to_compute"] == 2
    assert "numpy" in found["libraries"]


def test_the_code_that_rows_depend_on_is_listed_on_demand(run: Run, url: str) -> None:
    assert "cli_lab:Brightness" in run("plan", "brightness", "--why", "--store", url)[1]
    (found,) = json.loads(run("plan", "brightness", "--why", "--store", url, "--json")[1])
    assert any(name.startswith("cli_lab:Brightness") for name in found["code"])
    assert "cli_lab" not in run("plan", "brightness", "--store", url)[1]


def test_an_unknown_table_is_named_with_those_there_are(run: Run, url: str) -> None:
    code, _, err = run("plan", "colour", "--store", url)
    assert code == 1
    assert "'colour'" in err
    assert "brightness" in err


def test_the_summary_tells_files_from_rows_and_guesses_from_counts() -> None:
    assert summary({}) == summary(by_table(planned("frames", 0))) == "every row is fresh"
    known = by_table(planned("raw_media", 0), planned("a", 1240, wall_s=100), planned("b", 0, wall_s=9))
    assert summary(known) == "1 asset, 1,240 rows to compute, about 2 min"
    guessed = by_table(planned("raw_media", 6, wall_s=1, estimated=6), planned("a", 10, wall_s=3, estimated=4))
    assert summary(guessed) == "2 assets, 6 files to read, about 10 rows to compute, about 4 s"
    assert summary(by_table(planned("raw_media", 6))) == "1 asset, 6 files to read, time not measured yet"


def test_a_total_says_what_it_leaves_out() -> None:
    assert total_time([planned("a", 5, wall_s=3), planned("b", 5)]) == "about 3 s, not counting what was never measured"


def test_what_was_made_is_said_in_the_same_terms() -> None:
    assert made({}) == made({"frames": 0}) == "no rows computed"
    assert made({"a": 1240, "b": 0}) == "1 asset, 1,240 rows computed"


def test_counts_causes_epochs_and_libraries_in_words() -> None:
    plan = Plan("t", (status(1200, failed=3, estimated=1),))
    assert (count_text(plan), causes_text(plan)) == ("about 1,200", "new 1,200")
    assert epochs_text(12_345.0) == "12,345 epochs"
    changed = Plan("t", (), libraries={"torch": ("2.8", "2.9")}, changed_libraries={"torch": "2.10"})
    assert libraries_text(changed) == "torch 2.8/2.9, now 2.10"


def test_a_document_is_json_even_where_keeping_never_pays() -> None:
    found = document(Plan("t", (status(2),), break_even_epochs=math.inf, reads=Reads(2, 10, 0.5)))
    assert json.loads(json.dumps(found, allow_nan=False))["break_even_epochs"] == "never"
    assert found["reads"] == {"files": 2, "size_bytes": 10, "duration_s": 0.5}
    assert document(Plan("t", (), problem="no model"))["problem"] == "no model"
