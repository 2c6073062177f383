"""Which devices would do, and what is said where there are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.errors import SettingsError
from mmfs_resources.devices import assigned_by_ray, candidates

DEVICES = st.lists(st.sampled_from(["cpu:0", "cpu:1", "cpu:7"]), unique=True)


@pytest.fixture(params=[0, 2])
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("mmfs_resources.devices.gpu_count", lambda: request.param)
    return int(request.param)


def test_without_names_all_gpus_would_do_and_without_gpus_the_cpu(gpus: int) -> None:
    assert candidates("auto", []) == [f"cuda:{number}" for number in range(gpus)]
    assert candidates("cpu", []) == []


@pytest.mark.parametrize("gpus", [0], indirect=True)
@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "cuda:3"])
def test_a_gpu_that_is_not_there_is_said_with_the_setting_and_the_mend(wanted: str, gpus: int) -> None:
    with pytest.raises(
        SettingsError, match=rf"no device {wanted}: torch sees 0 GPUs here \[MMFS_DEVICE\]; set MMFS_DEV"
    ):
        candidates(wanted, [])
    with pytest.raises(SettingsError, match=r"MMFS_GPUS names cpu:0"):
        candidates(wanted, ["cpu:0"])
    with pytest.raises(SettingsError, match=r"'cuda:1' is not there: torch sees 0 GPUs here \[MMFS_GPUS\]"):
        candidates("auto", ["cuda:1"])


@pytest.mark.parametrize("gpus", [2], indirect=True)
def test_a_gpu_that_was_named_is_the_only_one(gpus: int) -> None:
    assert candidates("cuda:1", []) == ["cuda:1"]
    assert candidates("cuda", ["cpu:0", "cuda:1"]) == ["cuda:1"]
    with pytest.raises(SettingsError, match="there is no device cuda:2: torch sees 2 GPUs"):
        candidates("cuda:2", [])
    with pytest.raises(SettingsError, match="there is no device cuda:0: MMFS_GPUS names cuda:1"):
        candidates("cuda:0", ["cuda:1"])


@pytest.mark.parametrize("wanted", ["tpu", "cuda:x", "gpu:0"])
def test_what_is_no_device_is_refused(wanted: str) -> None:
    with pytest.raises(SettingsError, match=r"is no device \[MMFS_DEVICE\]"):
        candidates(wanted, [])
    with pytest.raises(SettingsError, match=r"is no device to lease \[MMFS_GPUS\]"):
        candidates("auto", [wanted])


@given(DEVICES)
def test_only_devices_that_were_named_would_do(devices: list[str]) -> None:
    if devices:
        assert candidates("auto", devices) == candidates("cpu", devices) == devices


def test_ray_says_which_device_and_torch_calls_it_the_first(gpus: int) -> None:
    job = {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}", "CUDA_VISIBLE_DEVICES": "3"}
    found = assigned_by_ray("auto", job)
    assert found is not None
    assert found.name.endswith("/cuda:3")
    assert found.device == ("cuda:0" if gpus else "cpu")
    assert assigned_by_ray("cpu", job) is None
    assert assigned_by_ray("auto", {"CUDA_VISIBLE_DEVICES": "3"}) is None
    if not gpus:
        with pytest.raises(SettingsError, match=r"Ray gave .*/cuda:3, and torch sees no GPU there"):
            assigned_by_ray("cuda", job)
