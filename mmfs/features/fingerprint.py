"""Fingerprints: a row is fresh when its fingerprint is the one that today's code, weights and inputs would give it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pydantic import BaseModel

from mmfs.features.code.reach import reach_of
from mmfs.features.feature import Blob, Feature, Output, Scalar, Vector
from mmfs.ids import digest

_ROW_CHARACTERS = 32


@dataclass(frozen=True)
class FingerprintParts:
    """What determines a feature's results apart from its inputs; each part is a digest, and a cause of staleness.

    Attributes:
        code: The class and the first-party code that it reaches, without comments, docstrings and layout.
        config: Parameters that change results, and the columns read.
        weights: Weights and architecture.
        outputs: Names and types of the output columns.
    """

    code: str
    config: str
    weights: str
    outputs: str

    @property
    def digest(self) -> str:
        """All parts in one, 64 hex characters."""
        return digest(self.code, self.config, self.weights, self.outputs)


def fingerprint_parts(feature: Feature) -> FingerprintParts:
    """The parts of a feature's fingerprint. Loads no model and reaches no network.

    Raises:
        FeatureError: The source of the class, or of what it depends on, cannot be read.
    """
    return FingerprintParts(
        code=reach_of(type(feature)).digest,
        config=digest(_config_text(feature), *(column.name for column in feature.spec.inputs)),
        weights=digest(feature.weights_digest()),
        outputs=digest(*(f"{name}:{_type_text(output)}" for name, output in sorted(feature.outputs.items()))),
    )


def static_fingerprint(feature: Feature) -> str:
    """One digest of config, weights, code and output types: the feature's part of every row's fingerprint."""
    return fingerprint_parts(feature).digest


def row_fingerprint(static: str, upstream: Sequence[str]) -> str:
    """The fingerprint of one row, 32 hex characters.

    Args:
        static: `static_fingerprint` of the feature.
        upstream: Fingerprints of the rows it was computed from, in the order of the feature's input tables.
    """
    return digest(static, *upstream)[:_ROW_CHARACTERS]


def recorded_parts(parts: FingerprintParts) -> dict[str, str]:
    """The parts as a commit records them, so that a later plan can say why rows are stale."""
    return {f"fingerprint.{name}": value for name, value in asdict(parts).items()}


def changed_parts(recorded: dict[str, str], parts: FingerprintParts) -> list[str]:
    """Names of the parts that differ from those a commit recorded; empty if it recorded none."""
    return [name for name, value in asdict(parts).items() if recorded.get(f"fingerprint.{name}") not in (None, value)]


def _config_text(feature: Feature) -> str:
    config = feature.config
    if isinstance(config, BaseModel):
        counted = {k: v for k, v in config.model_dump(mode="json").items() if k not in feature.uncounted}
        return json.dumps(counted, sort_keys=True)
    return repr(config)


def _type_text(output: Output) -> str:
    match output:
        case Vector():
            return f"vector[{output.dim}]{output.dtype}"
        case Scalar():
            return output.dtype
        case Blob():
            return f"blob {output.codec}"
        case _:
            return "text"
