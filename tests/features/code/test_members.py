"""Which members of a class count."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.features.code.lab import edited, reach_in

_FILES = {
    "__init__.py": "",
    "mine.py": """
import torch
from pydantic import BaseModel, field_validator
from mmfs import Feature, Scalar, feature
from lab.register import hook

class Module(torch.nn.Module):
    def forward(self, x):
        return x + 1

class Derived(Module):
    def other_hook(self, x):
        return x + 2

class Plain:
    def named(self, x):
        return x + 3

    def unnamed(self, x):
        return x + 94

    @hook
    def registered(self, x):
        return x + 4

    def log(self, x):
        print(93)

    def __call__(self, x):
        self.log(x)
        return x + 5

class Settings(BaseModel):
    @property
    def inherited(self):
        return self.size + 8

class Config(Settings):
    size: int = 87

    @field_validator("size")
    def checked(cls, value):
        return value + 86

    def derived(self):
        return self.size + 9

    def not_asked(self):
        return self.size + 85

@feature(table="lab", grain="frame", inputs=["frames.image"], neutral=[Plain.log])
class Mine(Feature):
    config: Config
    outputs = {"value": Scalar()}
    batch_size = 92
    tolerance = 0.91
    model_name = "model 6"
    is_demo = 90

    def setup(self, device):
        self.module = Derived(self.model_name)

    def check_inputs(self, recorded):
        raise ValueError(89 + recorded)

    def compute(self, batch):
        return {"value": Plain()(self.module(batch)), "named": self.config.derived() + self.config.inherited + 7}
""",
    "register.py": "def hook(method):\n    return method\n",
}


@pytest.mark.parametrize("number", range(1, 10))
def test_a_member_counts_where_code_names_it_or_a_library_may_call_it(tmp_path: Path, number: int) -> None:
    old = next(text for text in (f" + {number}\n", f'"model {number}"', f" + {number}}}") if text in _FILES["mine.py"])
    files = edited(old, old.replace(str(number), "100"), _FILES)
    assert reach_in(tmp_path, files).digest != reach_in(tmp_path, _FILES).digest


@pytest.mark.parametrize("number", [85, 86, 87, 89, 90, 91, 92, 93, 94])
def test_a_member_that_decides_no_result_does_not_count(tmp_path: Path, number: int) -> None:
    files = edited(str(number), "84", _FILES)
    assert reach_in(tmp_path, files).digest == reach_in(tmp_path, _FILES).digest
