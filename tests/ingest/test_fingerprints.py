"""What captions and frames depend on."""

from __future__ import annotations

from importlib import resources

import pytest

from mmfs.ingest.fingerprints import (
    SAMPLING_MODULES,
    SOUND_MODULES,
    audio_fingerprint,
    code_without_comments,
    frames_fingerprint,
)
from mmfs.settings import AudioConfig, FramesConfig


@pytest.mark.parametrize("change", [{"mode": "all"}, {"fps": 2.0}, {"short_side": 128}, {"quality": 80}])
def test_every_sampling_setting_counts(change: dict[str, object]) -> None:
    assert frames_fingerprint(FramesConfig()) == frames_fingerprint(FramesConfig())
    assert frames_fingerprint(FramesConfig(**change)) != frames_fingerprint(FramesConfig())


@pytest.mark.parametrize(
    "change", [{"window_s": 5.0}, {"hop_s": 5.0}, {"shortest_s": 0.5}, {"sample_rate_hz": 48_000}, {"channels": 2}]
)
def test_every_setting_of_windows_of_sound_counts(change: dict[str, object]) -> None:
    assert audio_fingerprint(AudioConfig()) == audio_fingerprint(AudioConfig())
    assert audio_fingerprint(AudioConfig(**change)) != audio_fingerprint(AudioConfig())


@pytest.mark.parametrize("names", [SAMPLING_MODULES, SOUND_MODULES])
def test_the_modules_that_count_exist(names: tuple[str, ...]) -> None:
    folder = resources.files("mmfs.media")
    assert all(folder.joinpath(f"{name}.py").is_file() for name in names)


def test_comments_docstrings_and_layout_do_not_count_but_code_does() -> None:
    one = 'class A:\n    """Doc."""\n\n    def f(self):  # why\n        return (1 +\n            2)\n'
    two = "class A:\n    'Other.'\n    def f(self): return 1 + 2\n"
    assert code_without_comments(one) == code_without_comments(two)
    assert code_without_comments(one) != code_without_comments(one.replace("2", "3"))
