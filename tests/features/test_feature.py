"""Declaring features."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel

from mmfs.errors import FeatureError
from mmfs.features.feature import Blob, Feature, Scalar, Vector, feature
from mmfs.features.registry import instantiate
from mmfs.features.tablespec import table_of
from mmfs.settings import ClipConfig, Settings


class HeadConfig(BaseModel, frozen=True):
    bins: int = 4


@feature(table="heads", grain="frame", inputs=["clip_embeddings.vector"], space=True)
class Head(Feature):
    """A small head over an embedding.

    More is said here.
    """

    config: HeadConfig

    @property
    def outputs(self) -> dict[str, Vector | Scalar]:
        return {"vector": Vector(self.config.bins), "score": Scalar("float32", "How sure it is.", "%")}


def test_declaring_a_feature_needs_no_torch() -> None:
    code = "import sys, mmfs.features.registry, mmfs.features.tablespec as t; from mmfs.settings import Settings; "
    code += "mmfs.features.registry.registered(Settings()); print('torch' in sys.modules, 'av' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_class_gives_table_key_columns_and_description() -> None:
    spec = table_of(Head(HeadConfig(bins=7)))
    assert spec.name == "heads"
    assert spec.key == ("media_id", "frame_index")
    assert spec.description == "A small head over an embedding."
    vector = spec.column("vector").vector
    assert vector is not None
    assert vector.dim == 7
    assert spec.column("score").unit == "%"
    assert spec.is_derived


def test_a_feature_without_a_section_makes_its_own_config() -> None:
    assert instantiate(Head.spec, Settings()).config == HeadConfig()


def test_a_config_set_in_the_class_wins_over_the_settings() -> None:
    from mmfs.features.clip import ClipEmbeddings

    @feature(table="clip_large", grain="frame", inputs=["frames.image"], space=True)
    class ClipLarge(ClipEmbeddings):
        config = ClipConfig(model="ViT-L-14", pretrained="laion2b_s32b_b82k")

    first, second = (instantiate(cls.spec, Settings()) for cls in (ClipEmbeddings, ClipLarge))
    assert first.config.model == "ViT-B-32"
    assert second.config.model == "ViT-L-14"
    assert table_of(second).column("vector").vector.dim == 768  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "0 outputs"),
        ({"offset": Scalar()}, "name of a key column"),
        ({"frame_index": Scalar()}, "name of a key column"),
        ({"a": Blob("depth16"), "b": Blob("jpeg")}, "2 of them blobs"),
        ({"score": Scalar()}, "one Vector output, not 0"),
    ],
)
def test_outputs_that_cannot_be_stored_are_refused_by_name(outputs: dict[str, Any], message: str) -> None:
    cls = type("Wrong", (Head,), {"outputs": outputs})
    with pytest.raises(FeatureError, match=message):
        table_of(cls())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"inputs": []}, "no inputs"), ({"inputs": ["frames"]}, "'frames' is not a column")],
)
def test_inputs_must_name_columns(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        feature(table="t", grain="frame", **arguments)(Head)


def test_only_a_feature_can_be_declared() -> None:
    with pytest.raises(FeatureError, match="derive the class from"):
        feature(table="t", grain="frame", inputs=["frames.image"])(dict)  # type: ignore[type-var]
