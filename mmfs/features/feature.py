"""How a feature is declared: one class says where it reads, what it computes and what comes out.

Importing this module needs no torch; a feature imports its own heavy packages inside its methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from mmfs.errors import FeatureError
from mmfs.schemas import Grain, VectorDtype

ScalarDtype = Literal["float32", "float64", "int32", "int64", "bool"]


@dataclass(frozen=True)
class Vector:
    """An output of ``dim`` numbers a row: ``compute`` returns ``[B, dim]``."""

    dim: int
    dtype: VectorDtype = "float16"
    description: str = "Embedding."


@dataclass(frozen=True)
class Scalar:
    """An output of one number a row: ``compute`` returns ``[B]``. Floats must be finite."""

    dtype: ScalarDtype = "float32"
    description: str = "Value."
    unit: str | None = None


@dataclass(frozen=True)
class Text:
    """An output of one text a row: ``compute`` returns a list of B strings."""

    description: str = "Text."


@dataclass(frozen=True)
class Blob:
    """An output of heavy bytes a row, kept in packs: ``compute`` returns B arrays, which ``codec`` encodes.

    Attributes:
        codec: ``depth16`` for float32 ``[H, W]`` arrays, ``jpeg`` for uint8 ``[H, W, 3]`` arrays.
    """

    codec: Literal["depth16", "jpeg"]
    description: str = "Encoded array."


Output = Vector | Scalar | Text | Blob


@dataclass(frozen=True)
class FeatureSpec:
    """What the decorator recorded about a feature class.

    Attributes:
        table: Table that holds the results, and name of the asset.
        grain: What one row is about.
        inputs: Columns read, as ``table.column``; ``frames.image`` is the decoded picture.
        space: Whether the one Vector output is searchable.
        description: First line of the class's docstring.
        cls: The class.
        depends_on: Functions and classes whose source counts as part of the class's.
    """

    table: str
    grain: Grain
    inputs: tuple[str, ...]
    space: bool
    description: str
    cls: type[Feature]
    depends_on: tuple[Any, ...] = ()


class Feature:
    """Base of all features. A subclass declares ``outputs`` and implements ``compute``.

    Attributes:
        spec: Set by the `feature` decorator.
        section: Name of the `mmfs.settings.Settings` field that configures the feature, e.g. ``clip``. Without one,
            the class's own ``config`` is used: a value, or else an annotated Pydantic class that needs no arguments.
        config: Parameters of the feature, a frozen Pydantic model or ``None``. They are part of the fingerprint.
        uncounted: Fields of ``config`` that do not change results, or that `weights_digest` already covers.
        device: Where the model was loaded (``cpu``, ``cuda:0``), or ``None`` before `load`.
        batch_size: Rows a `compute` call, where the config has no field of this name.
    """

    spec: ClassVar[FeatureSpec]
    section: ClassVar[str | None] = None
    uncounted: ClassVar[frozenset[str]] = frozenset({"batch_size"})
    config: Any = None
    device: str | None = None
    batch_size: int = 64
    _loaded: str | None = None

    def __init__(self, config: Any = None) -> None:
        if config is not None:
            self.config = config
        self.batch_size = int(getattr(self.config, "batch_size", self.batch_size))

    @property
    def outputs(self) -> Mapping[str, Output]:
        """Output columns by name: a class attribute, or a property where they depend on the config."""
        raise FeatureError(
            f"feature {type(self).__name__} declares no outputs", mend='add outputs = {"vector": mmfs.Vector(512)}'
        )

    def weights_digest(self) -> str:
        """Digest of the weights and architecture; called often, so it must be quick and reach no network."""
        return ""

    def fetch_weights(self) -> None:
        """Bring the weights to this machine where they are not. May use the network.

        Raises:
            ModelError: They cannot be reached.
        """

    def setup(self, device: str) -> None:
        """Load the model onto a device; called once before `compute`."""

    def prepare(self, row: dict[str, Any]) -> dict[str, Any]:
        """Bring one row into the form that is batched; runs in reader threads, on the CPU.

        Args:
            row: Input column -> value: uint8 ``[3, H, W]`` tensors for pictures, float32 tensors for vectors and
                depth maps, Python numbers and strings for the rest.

        Returns:
            What `compute` gets a batch of. Tensors are stacked, so rows are batched with rows of the same shapes;
            resizing to a fixed shape here keeps batches full. Other values become lists.
        """
        return row

    def compute(self, batch: dict[str, Any]) -> Mapping[str, Any]:
        """Compute B rows.

        Args:
            batch: What `prepare` returned, batched: tensors ``[B, ...]`` (on the CPU) and lists of B values.

        Returns:
            Every declared output with B rows: tensors or arrays for Vector and Scalar, lists for Text, arrays or
            lists of arrays for Blob.
        """
        raise FeatureError(f"feature {type(self).__name__} has no compute method", mend="write compute(self, batch)")

    def load(self, device: str) -> None:
        """Load the model onto ``device`` unless these weights are there; what runs a feature calls this.

        Raises:
            ModelError: The weights cannot be reached or read.
        """
        self.fetch_weights()
        weights = self.weights_digest()
        if (self.device, self._loaded) != (device, weights):
            self.setup(device)
            self.device, self._loaded = device, weights


F = TypeVar("F", bound=type[Feature])


def feature(
    *, table: str, grain: Grain, inputs: Sequence[str], space: bool = False, depends_on: Sequence[Any] = ()
) -> Callable[[F], F]:
    """Declare a feature class.

    Args:
        table: Table that holds the results.
        grain: ``media``, ``frame``, ``caption`` or ``audio_window``.
        inputs: Columns to read, as ``table.column``, of this grain or of media.
        space: Whether the feature's one Vector can be searched.
        depends_on: Functions and classes that ``compute`` relies on; a change of their source makes rows stale.

    Raises:
        FeatureError: The class is no Feature, or an input is not written ``table.column``.
    """

    def declare(cls: F) -> F:
        if not (isinstance(cls, type) and issubclass(cls, Feature)):
            raise FeatureError(f"{cls!r} is not a Feature", where=table, mend="derive the class from mmfs.Feature")
        for name in inputs:
            if len(name.split(".")) != 2:
                raise FeatureError(
                    f"input {name!r} is not a column", where=cls.__name__, mend='write it as "table.column"'
                )
        if not inputs:
            raise FeatureError("no inputs", where=cls.__name__, mend='say what it reads: inputs=["frames.image"]')
        lines = (cls.__doc__ or "").strip().splitlines()
        description = lines[0] if lines else f"Computed by {cls.__name__}."
        cls.spec = FeatureSpec(table, grain, tuple(inputs), space, description, cls, tuple(depends_on))
        return cls

    return declare
