"""What captions and frames depend on."""

from __future__ import annotations

from importlib import resources

import pytest

from mmfs.ingest.fingerprints import SAMPLING_MODULES, code_without_comments, frames_fingerprint
from mmfs.settings import FramesConfig


@pytest.mark.parametrize("change", [{"mode": "all"}, {"fps": 2.0}, {"short_side": 128}, {"quality": 80}])
def test_every_sampling_setting_counts(change: dict[str, object]) -> None:
    assert frames_fingerprint(FramesConfig()) == frames_fingerprint(FramesConfig())
    assert frames_fingerprint(FramesConfig(**change)) != frames_fingerprint(FramesConfig())


def test_the_sampling_modules_exist() -> None:
    folder = resources.files("mmfs.media")
    assert all(folder.joinpath(f"{name}.py").is_file() for name in SAMPLING_MODULES)


def test_comments_docstrings_and_layout_do_not_count_but_code_does() -> None:
    one = 'class A:\n    """Doc."""\n\n    def f(self):  # why\n        return (1 +\n            2)\n'
    two = "class A:\n    'Other.'\n    def f(self): return 1 + 2\n"
    assert code_without_comments(one) == code_without_comments(two)
    assert code_without_comments(one) != code_without_comments(one.replace("2", "3"))
