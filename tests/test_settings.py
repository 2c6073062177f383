from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmfs.errors import SettingsError
from mmfs.settings import DEMO_CLIP_DIR, ClipConfig, Settings, load_settings


def test_nested_variables_fill_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_CLIP__MODEL", "ViT-L-14")
    monkeypatch.setenv("MMFS_FRAMES__FPS", "2.5")
    settings = load_settings()
    assert settings.clip.model == "ViT-L-14"
    assert settings.frames.fps == 2.5


def test_an_unknown_variable_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_STOER", "/tmp/x")
    with pytest.raises(SettingsError, match=r"MMFS_STOER.*did you mean MMFS_STORE"):
        load_settings()


def test_a_malformed_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_FRAMES__FPS", "fast")
    with pytest.raises(SettingsError, match=r"'fast'.*MMFS_FRAMES__FPS"):
        load_settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load_settings().store = "/elsewhere"  # type: ignore[misc]


def test_what_a_store_recorded_fills_in_what_nobody_set() -> None:
    recorded = load_settings(clip=ClipConfig(model="ViT-L-14", pretrained="openai")).recorded()
    assert load_settings().with_recorded(recorded).clip.model == "ViT-L-14"
    by_hand = load_settings(clip=ClipConfig(model="RN50", pretrained="openai"))
    assert by_hand.with_recorded(recorded).clip.model == "RN50"


def test_shipped_models_are_recorded_relative_to_the_package() -> None:
    settings = load_settings(clip=ClipConfig(model=f"local-dir:{DEMO_CLIP_DIR}"))
    assert settings.recorded()["clip"]["model"] == "local-dir:<mmfs>/demo-clip"
    assert load_settings().with_recorded(settings.recorded()).clip == settings.clip


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_several_names_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_FEATURES", "my_lab.features, other.features")
    monkeypatch.setenv("MMFS_WATCH", "s3://bucket/new")
    settings = load_settings(media_roots=("/data",))
    assert settings.features == ("my_lab.features", "other.features")
    assert settings.watch == ("s3://bucket/new",)
    assert settings.media_roots == ("/data",)


def test_a_section_that_is_no_json_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_CLIP", "ViT-L-14")
    with pytest.raises(SettingsError, match="clip"):
        load_settings()


def test_the_cache_folder_and_its_quota_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().cache.dir is None
    monkeypatch.setenv("MMFS_CACHE__DIR", "/scratch/mmfs")
    monkeypatch.setenv("MMFS_CACHE__QUOTA_GB", "0.5")
    cache = load_settings().cache
    assert (cache.dir, cache.quota_bytes) == ("/scratch/mmfs", 500_000_000)
    monkeypatch.setenv("MMFS_CACHE__QUOTA_GB", "0")
    with pytest.raises(SettingsError, match="MMFS_CACHE__QUOTA_GB"):
        load_settings()


@pytest.mark.parametrize("place", ["/var/logs", "gs://bucket", "s3://", "s3:///logs"])
def test_compute_logs_that_are_in_no_bucket_of_s3_are_refused(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_COMPUTE_LOGS", place)
    with pytest.raises(SettingsError, match=r"is not s3://bucket or s3://bucket/prefix.*\[MMFS_COMPUTE_LOGS\]"):
        load_settings()


@pytest.mark.parametrize("place", ["s3://bucket", "s3://bucket/", "s3://bucket/logs/dagster"])
def test_compute_logs_lie_in_a_bucket_of_s3(place: str) -> None:
    assert load_settings(compute_logs=place).compute_logs == place


def test_a_secret_that_rays_dashboard_would_show_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_RAY__ENVIRONMENT", "HF_HOME,MMFS_WEBHOOK_URL")
    with pytest.raises(SettingsError, match="names MMFS_WEBHOOK_URL, which Ray's dashboard would show: set it on the"):
        load_settings()
    assert Settings.secrets() == {"qdrant_api_key", "dagster_url", "postgres_url", "webhook_url"}
