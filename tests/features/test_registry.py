"""Which features there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmfs.errors import FeatureError
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.settings import Settings
from mmfs.store import Store
from tests.features.tiny import SHARD

_HEAD = """
from mmfs import Feature, Scalar, feature

@feature(table="{table}", grain="frame", inputs=["frames.image"])
class Brightness(Feature):
    "Mean of all pixels."
    outputs = {{"brightness": Scalar("float32")}}

    def compute(self, batch):
        return {{"brightness": batch["frames.image"].float().mean((1, 2, 3))}}
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the Python path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_shipped_features_are_there() -> None:
    specs = registered(Settings())
    assert list(specs) == [
        "clip_embeddings",
        "text_embeddings",
        "depth_maps",
        "frame_quality",
        "prompt_scores",
        "audio_features",
    ]
    assert specs["clip_embeddings"].space
    assert [column.name for column in specs["clip_embeddings"].inputs] == ["frames.image"]


def test_a_module_named_in_the_settings_adds_its_features(lab: Path, store: Store, frames: Callable[..., None]) -> None:
    (lab / "lab_one.py").write_text(_HEAD.format(table="brightness"))
    specs = registered(Settings(features=("lab_one",)))
    assert "brightness" in specs
    brightness = instantiate(specs["brightness"], Settings())
    assert brightness.spec.description == "Mean of all pixels."
    frames(range(5))
    assert run_feature(store, brightness, SHARD).computed == 5
    assert store.sql("SELECT count(*) AS rows FROM brightness WHERE brightness > 0").to_pylist() == [{"rows": 5}]


def test_a_feature_imported_by_several_modules_counts_once(lab: Path) -> None:
    (lab / "lab_two.py").write_text(_HEAD.format(table="brightness"))
    (lab / "lab_three.py").write_text("from lab_two import Brightness\nfrom mmfs.features.clip import ClipEmbeddings\n")
    assert list(registered(Settings(features=("lab_two", "lab_three"))))[-1] == "brightness"


def test_two_features_with_one_table_are_refused_naming_both(lab: Path) -> None:
    (lab / "lab_four.py").write_text(_HEAD.format(table="depth_maps"))
    with pytest.raises(FeatureError, match=r"lab_four\.Brightness is taken by mmfs\.features\.depth\.DepthMaps"):
        registered(Settings(features=("lab_four",)))


def test_a_feature_cannot_take_a_table_of_the_store(lab: Path) -> None:
    (lab / "lab_five.py").write_text(_HEAD.format(table="raw_media"))
    with pytest.raises(FeatureError, match="taken by a table of the store"):
        registered(Settings(features=("lab_five",)))


@pytest.mark.parametrize(
    ("source", "said"),
    [("import no_such_package_at_all", "No module named 'no_such_package_at_all'"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_module_that_does_not_import_is_named_with_its_setting(lab: Path, source: str, said: str) -> None:
    (lab / "lab_broken.py").write_text(source)
    with pytest.raises(FeatureError, match="lab_broken") as caught:
        registered(Settings(features=("lab_broken",)))
    assert said in str(caught.value)
    assert caught.value.where == "MMFS_FEATURES"


def test_a_module_without_features_is_refused(lab: Path) -> None:
    (lab / "lab_empty.py").write_text("x = 1\n")
    with pytest.raises(FeatureError, match="'lab_empty' holds no feature"):
        registered(Settings(features=("lab_empty",)))


def test_an_input_that_names_nothing_is_found_when_features_are_listed(lab: Path) -> None:
    (lab / "lab_six.py").write_text(_HEAD.format(table="brightness").replace("frames.image", "frame.image"))
    with pytest.raises(FeatureError, match=r"'frame.image' names neither.*lab_six\.Brightness"):
        registered(Settings(features=("lab_six",)))
