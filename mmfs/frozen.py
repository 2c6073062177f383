"""What sections of settings are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_settings import NoDecode


class Frozen(BaseModel):
    """A section of settings: hashable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _names(value: Any) -> Any:
    """A comma-separated variable as its parts."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


#: Several names, in a variable separated by commas: ``MMFS_FEATURES=my_lab.features,other.features``.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
