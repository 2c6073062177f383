"""Versions of libraries are recorded with results."""

from __future__ import annotations

import numpy as np
import torch

from mmfs.features.versions import library_versions


def test_the_installed_libraries_are_named_with_their_versions() -> None:
    found = library_versions()
    assert found["numpy"] == np.__version__
    assert torch.__version__.startswith(found["torch"])
