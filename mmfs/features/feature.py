"""How a feature is declared: one class says where it reads, what it computes and what comes out.

Importing this module needs no torch; a feature imports its own heavy packages inside its methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from mmfs.errors import FeatureError
from mmfs.schemas import Grain, VectorDtype

if TYPE_CHECKING:
    from mmfs.settings import Settings

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
        codec: ``depth16`` for float32 maps ``[H, W]`` of a frame's pixels, ``jpeg`` for uint8 ``[H, W, 3]`` pictures,
            ``array16`` for any other float32 array of up to four axes (kept as float16).
    """

    codec: Literal["depth16", "jpeg", "array16"]
    description: str = "Encoded array."


Output = Vector | Scalar | Text | Blob

#: After a column of frames, audio windows or captions: the value of the row before it in the same media.
PREVIOUS = "@previous"


@dataclass(frozen=True)
class InputColumn:
    """One column that a feature reads.

    Attributes:
        name: As declared, and the key of the value in batches: ``frames.image`` or ``frames.image@previous``.
        table: Table that holds it.
        column: Its name there; for a blob, the name of the decoded value.
        is_previous: Whether the row before in the same media is meant; the row itself where there is none before.
    """

    name: str
    table: str
    column: str
    is_previous: bool = False

    @classmethod
    def parse(cls, name: str, *, where: str) -> InputColumn:
        """The column that a declaration names.

        Raises:
            FeatureError: It is not written ``table.column`` or ``table.column@previous``.

        >>> InputColumn.parse("frames.image@previous", where="Motion").table
        'frames'
        """
        table, dot, column = name.removesuffix(PREVIOUS).partition(".")
        if not (table and dot and column) or "." in column or "@" in column:
            raise FeatureError(f"input {name!r} is not a column", where=where, mend='write it as "table.column"')
        return cls(name, table, column, name.endswith(PREVIOUS))


@dataclass(frozen=True)
class FeatureSpec:
    """What the decorator recorded about a feature class.

    Attributes:
        table: Table that holds the results, and name of the asset.
        grain: What one row is about.
        inputs: Columns read; ``frames.image`` is the decoded picture.
        space: Whether the one Vector output is searchable.
        description: First line of the class's docstring.
        cls: The class.
        depends_on: Functions and classes that are not reached by name in the source, yet count as part of it.
        neutral: Functions and classes that are reached and do not change results.
    """

    table: str
    grain: Grain
    inputs: tuple[InputColumn, ...]
    space: bool
    description: str
    cls: type[Feature]
    depends_on: tuple[Any, ...] = ()
    neutral: tuple[Any, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables read, each once, in the order of the inputs."""
        return tuple(dict.fromkeys(column.table for column in self.inputs))


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
        needs_gpu: Whether it gains from a GPU; others run on the CPU and wait for nobody.
        tolerance: How far results of one row may differ between runs, batches and devices, stored results included:
            relative, but absolute below 1. Whole numbers and texts are equal.
    """

    spec: ClassVar[FeatureSpec]
    needs_gpu: ClassVar[bool] = True
    tolerance: ClassVar[float] = 1e-3
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

    @property
    def model_name(self) -> str:
        """How people call the model: ``ViT-B-32 laion2b_s34b_b79k``; the name of the class where it has none."""
        parts = [getattr(self.config, name, None) for name in ("model", "pretrained")]
        return " ".join(str(part) for part in parts if part) or type(self).__name__

    def take_settings(self, settings: Settings) -> None:
        """Take what the feature needs of the settings besides its config; called once after it was made."""

    def check_inputs(self, recorded: Mapping[str, Mapping[str, str]]) -> None:
        """Refuse inputs that do not go with this feature; called before a shard is computed.

        Args:
            recorded: By input table, what the shard's last commit recorded: ``model``, ``fingerprint.weights``, ...

        Raises:
            FeatureError: They come from another model than the feature was made for.
        """

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

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Bring rows of one shape into the form that is computed, usually by resizing to the model's size.

        Rows whose prepared tensors have the same shapes share a batch of `compute`, whatever shapes they came in.
        Results must not depend on which rows are prepared together. What comes in is not yours to change in place: it
        is used again where a batch fails.

        Args:
            batch: Input column -> values of b rows (b varies): uint8 ``[b, 3, H, W]`` for pictures (channels last in
                memory), float32 ``[b, D]`` for vectors, float32 ``[b, ...]`` for depth maps, sound and other arrays,
                all on the feature's device; lists of b Python numbers, strings or None for the rest.

        Returns:
            What `compute` gets: tensors of b rows, or lists of b values, under any names.
        """
        return batch

    def compute(self, batch: dict[str, Any]) -> Mapping[str, Any]:
        """Compute B rows. What comes in is not yours to change in place: it is used again where a batch fails.

        Args:
            batch: What `prepare` returned, put together to B rows: tensors ``[B, ...]`` on the feature's device, and
                lists of B values.

        Returns:
            Every declared output with B rows: tensors or arrays for Vector and Scalar, lists for Text, tensors,
            arrays or lists of them for Blob. Tensors may stay on the device; the runner fetches them while the next
            batch is computed, so every call returns new ones.
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
    *,
    table: str,
    grain: Grain,
    inputs: Sequence[str],
    space: bool = False,
    depends_on: Sequence[Any] = (),
    neutral: Sequence[Any] = (),
) -> Callable[[F], F]:
    """Declare a feature class.

    Args:
        table: Table that holds the results.
        grain: ``media``, ``frame``, ``caption`` or ``audio_window``.
        inputs: Columns to read, as ``table.column``, of this grain or of media. ``table.column@previous`` is the
            value of the row before in the same media, or the row's own where it is the first.
        space: Whether the feature's one Vector can be searched.
        depends_on: Functions and classes that results depend on and that the source does not reach by name (a
            registry, a callback); a change of their source makes rows stale.
        neutral: Functions and classes that the source reaches and that do not change results (downloads, logging).

    Raises:
        FeatureError: The class is no Feature, or an input is not written ``table.column``.
    """

    def declare(cls: F) -> F:
        if not (isinstance(cls, type) and issubclass(cls, Feature)):
            raise FeatureError(f"{cls!r} is not a Feature", where=table, mend="derive the class from mmfs.Feature")
        columns = tuple(InputColumn.parse(name, where=cls.__name__) for name in inputs)
        if not columns:
            raise FeatureError("no inputs", where=cls.__name__, mend='say what it reads: inputs=["frames.image"]')
        lines = (cls.__doc__ or "").strip().splitlines()
        description = lines[0] if lines else f"Computed by {cls.__name__}."
        cls.spec = FeatureSpec(table, grain, columns, space, description, cls, tuple(depends_on), tuple(neutral))
        return cls

    return declare
