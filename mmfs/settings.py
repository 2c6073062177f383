"""All settings: one frozen tree, filled from ``MMFS_*`` environment variables or from Python.

Nested fields use two underscores: ``MMFS_CLIP__MODEL=ViT-L-14``. What was set by hand wins over what the store
recorded when it was made (`Settings.with_recorded`), and that wins over the defaults below.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableVariableError

from mmfs.cluster import K8sConfig, RayConfig
from mmfs.errors import SettingsError
from mmfs.frozen import Frozen, Names

_MODELS = Path(__file__).parent / "models"
DEMO_CLIP_DIR = _MODELS / "demo-clip"
DEMO_DEPTH_DIR = _MODELS / "demo-depth"

#: Variables of this prefix that are read elsewhere (tests), hence no mistakes.
_FOREIGN = frozenset({"MMFS_SAMPLE_MEDIA", "MMFS_TEST_QDRANT_URL"})


class ClipConfig(Frozen):
    """An image-text model of open_clip."""

    model: str = Field(
        "ViT-B-32",
        description="open_clip architecture (ViT-B-32), `hf-hub:org/name`, or `local-dir:/path`.",
    )
    pretrained: str | None = Field(
        "laion2b_s34b_b79k",
        description="open_clip pretrained tag or a safetensors file; ignored for hf-hub: and local-dir: models.",
    )
    dim: int | None = Field(None, description="Embedding width; needed only where it cannot be read offline.")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on CUDA, fp32 on CPU.")
    batch_size: int = Field(64, ge=1, description="Frames a forward pass; does not change results.")


class DepthConfig(Frozen):
    """A monocular depth model of transformers."""

    model: str = Field(
        "depth-anything/Depth-Anything-V2-Small-hf",
        description="Model of AutoModelForDepthEstimation: a hub name or a directory.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on CUDA, fp32 on CPU.")
    batch_size: int = Field(16, ge=1, description="Frames a forward pass; does not change results.")


def _prompt_pairs(value: Any) -> Any:
    """``{"name": "a prompt"}`` or ``{"name": ["one", "two"]}`` as pairs, which can be hashed."""
    if not isinstance(value, Mapping):
        return value
    return tuple((name, (texts,) if isinstance(texts, str) else texts) for name, texts in value.items())


def _usable_prompts(pairs: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    names = [name for name, _ in pairs]
    for name, texts in pairs:
        if not _COLUMN.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a column: use a-z, 0-9 and _, beginning with a letter")
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is there twice")
        if not texts or not all(text.strip() for text in texts):
            raise ValueError(f"{name!r} has an empty prompt, or none")
    if not pairs:
        raise ValueError("there are no scores: name one at least")
    return pairs


_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,62}")
#: Prompts by name, in Python and in JSON a mapping.
Prompts = Annotated[
    tuple[tuple[str, tuple[str, ...]], ...],
    BeforeValidator(_prompt_pairs),
    AfterValidator(_usable_prompts),
    PlainSerializer(lambda pairs: {name: list(texts) for name, texts in pairs}),
]


class PromptScoresConfig(Frozen):
    """What pictures are scored for in words, and against what.

    The defaults help to look through a store before it is used or shown. They are zero-shot scores of an image-text
    model, not a moderation guarantee: check the hits by eye, choose thresholds on media of your own, and do not take
    a low score as proof that a picture is harmless.
    """

    scores: Prompts = Field(
        (
            ("nsfw", ("a photo of a naked person", "an explicit sexual photo", "a pornographic picture")),
            ("violence", ("a photo of people fighting", "a photo of a person attacking another", "a violent scene")),
            ("gore", ("a photo of a bleeding wound", "a photo of a dead body", "a gory and bloody picture")),
            ("weapon", ("a photo of a gun", "a photo of a person holding a rifle", "a photo of a person with a knife")),
            ("drugs", ("a photo of illegal drugs", "a photo of a person using drugs", "a photo of pills and syringes")),
            ("text_overlay", ("a picture with large text written over it", "a meme with text", "a screenshot of text")),
            ("watermark", ("a stock photo with a watermark", "a picture with a logo across it")),
        ),
        validate_default=True,
        description="Prompts by the name of their score; several are averaged. Setting it replaces the defaults.",
    )
    neutral: tuple[str, ...] = Field(
        ("a photo", "a photo of a person", "a photo of a place", "a photo of an object", "an everyday scene"),
        min_length=1,
        description="Prompts that each score is weighed against: a score of 0.5 is as much as all of these together.",
    )
    batch_size: int = Field(4096, ge=1, description="Vectors scored at once; does not change results.")


class FramesConfig(Frozen):
    """How frames are sampled from videos and stored."""

    mode: Literal["fps", "keyframes", "all"] = Field("fps", description="Which frames of a video to keep.")
    fps: float = Field(1.0, gt=0, description="Frames a second in mode fps, by exact presentation time.")
    short_side: int = Field(256, ge=16, description="Short side of stored frames in pixels; never scaled up.")
    quality: int = Field(90, ge=1, le=100, description="JPEG quality (4:2:0).")


class AudioConfig(Frozen):
    """How the sound of audio files and videos is cut into windows and stored."""

    window_s: float = Field(10.0, gt=0, le=120, description="Length of a window in seconds.")
    hop_s: float | None = Field(
        None, gt=0, description="Seconds from the beginning of a window to that of the next; default: window_s."
    )
    shortest_s: float = Field(
        1.0, ge=0, description="The shorter window at the end is dropped below this, unless it is all there is."
    )
    sample_rate_hz: int = Field(
        16_000,
        ge=4_000,
        le=192_000,
        description="Sample rate of stored sound: 16,000 is what speech models and log-mel features want; 48,000 keeps "
        "what people hear, at three times the bytes.",
    )
    channels: Literal[1, 2] = Field(1, description="1 mixes all channels into one, 2 into left and right.")


class AudioFeaturesConfig(Frozen):
    """Log-mel spectrograms and loudness of windows of sound."""

    mels: int = Field(80, ge=8, le=256, description="Mel bands between 0 and 8 kHz: 80, or 128 for Whisper large-v3.")
    hop_ms: float = Field(10.0, gt=0, description="Milliseconds from one column of a spectrogram to the next.")
    fft_ms: float = Field(25.0, gt=0, description="Milliseconds of sound that a column is computed from.")
    chunk_s: int = Field(
        10,
        ge=1,
        description="Seconds that spectrograms cover: shorter windows are padded with silence, as Whisper wants it. "
        "At least MMFS_AUDIO__WINDOW_S.",
    )
    silence_dbfs: float = Field(-50.0, le=0, description="Sound whose loudness is below this counts as silence.")
    batch_size: int = Field(32, ge=1, description="Windows computed at once; does not change results.")


class DuplicatesConfig(Frozen):
    """When the asset duplicates counts frames as duplicates, and what it keeps."""

    threshold: float = Field(
        0.95, ge=0.5, le=1, description="Cosine of two clip vectors from which on frames are duplicates."
    )
    max_hamming: int = Field(4, ge=0, le=16, description="Bits of 64 in which their perceptual hashes may differ.")
    keep: Literal["largest", "first"] = Field(
        "largest", description="Which media of a group is kept: that of most pixels, or that ingested first."
    )


class QdrantLayout(Frozen):
    """What a Qdrant server keeps of an index in memory, and what on disk. The embedded engine takes no notice."""

    m: int = Field(16, ge=4, le=128, description="Links of a point in the graph; twice as many in its lowest layer.")
    quantization: Literal["none", "int8", "bits4"] = Field(
        "none",
        description="Copy of the vectors that the graph is searched by, kept in memory: one byte or half a byte a "
        "number; hits are scored again by the vectors themselves. bits4 needs Qdrant 1.18.",
    )
    on_disk: bool = Field(False, description="Whether vectors and payload indexes are read from disk.")


class GuardLimits(Frozen):
    """What a process that decodes untrusted bytes may use."""

    memory_mb: int = Field(4096, ge=256, description="Address space of a decoding process, in MiB.")
    deadline_s: float = Field(5.0, gt=0, description="Seconds a file may take, whatever its length.")
    deadline_per_second: float = Field(0.5, ge=0, description="More seconds for each second of playing time.")
    image_pixels: int = Field(178_956_970, ge=1, description="Largest image, in pixels, by its header.")
    video_side: int = Field(8192, ge=16, description="Largest width or height of a video, in pixels.")
    files_per_process: int = Field(256, ge=1, description="Files after which a decoding process is replaced.")


class CacheConfig(Frozen):
    """Where a machine keeps what its processes have read: what training reads, and indexes of stores in buckets."""

    dir: str | None = Field(
        None,
        description="Folder on a fast local disk that the node's training processes share; unset: each process keeps "
        "table rows in temporary files of its own, and reads media over the network whenever it needs them.",
    )
    quota_gb: float = Field(
        100.0, gt=0, description="Disk that training may use of it, in GB (10^9 bytes); index/ there is not counted."
    )

    @property
    def quota_bytes(self) -> int:
        """The quota in bytes."""
        return int(self.quota_gb * 10**9)


class Settings(BaseSettings):
    """Settings of one store and of what works on it."""

    model_config = SettingsConfigDict(
        env_prefix="MMFS_", env_nested_delimiter="__", frozen=True, extra="forbid", env_ignore_empty=True
    )

    store: str = Field("./data/store", description="Store: a directory or s3://bucket/prefix.")
    copy_media: bool = Field(False, description="Copy originals into the store by content hash when ingesting.")
    media_roots: Names = Field(
        (), description="Directories or buckets that lists of URIs may refer to, besides what the user names."
    )
    allow_http: bool = Field(False, description="Whether http(s) URIs in lists may be read.")
    watch: Names = Field((), description="URIs that the new-media sensor looks through, again and again.")
    watch_every_s: int = Field(
        30, ge=1, description="Seconds from one look to the next; a longer time spares a bucket."
    )
    watch_settle_s: float = Field(
        30.0, ge=0, description="A watched file that was written to within these seconds may still grow, and waits."
    )
    watch_page_files: int = Field(10_000, ge=100, description="Most files that one tick of the sensor looks at.")
    shard_target_mb: int = Field(512, ge=1, description="Media in a shard before it is sealed, in MiB.")
    shard_max_files: int = Field(4096, ge=1, description="Files in a shard before it is sealed.")
    shards_per_run: int | None = Field(
        None, ge=1, description="Shards a run of a backfill takes up; default: 32, or 8 if MMFS_EXECUTOR is not local."
    )
    workers: int | None = Field(None, ge=1, description="Decoding processes; default: one a core, at most 8.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N, for model assets and query models.")
    executor: Literal["local", "gpu_box", "ray", "k8s"] = Field(
        "local",
        description="Where steps run: in the process of their run; the same with a device each; on Ray; on Kubernetes.",
    )
    gpus: Names = Field(
        (),
        description="Devices that steps lease one each, e.g. cuda:0,cuda:1; default: all that torch sees. "
        "`cpu:0,cpu:1` are logical ones, to try the same without a GPU.",
    )
    ray: RayConfig = Field(RayConfig(), description="The Ray cluster, for MMFS_EXECUTOR=ray.")
    k8s: K8sConfig = Field(K8sConfig(), description="Pods, for MMFS_EXECUTOR=k8s.")
    features: Names = Field((), description="Python modules that register features of your own.")
    quarantine_share: float = Field(
        0.05, ge=0, le=1, description="Share of quarantined sources above which the asset check warns."
    )
    qdrant_url: str | None = Field(None, description="Qdrant server; unset: the embedded engine in the store.")
    qdrant_api_key: SecretStr | None = Field(None, description="API key of the Qdrant server.")
    qdrant_layout: QdrantLayout = Field(
        QdrantLayout(), description="What the Qdrant server keeps in memory of builds that are begun from now on."
    )
    dagster_url: str | None = Field(
        None,
        repr=False,
        description="Dagster webserver that training runs are reported to, e.g. http://127.0.0.1:3000; "
        "`user:password@` before the host is sent as basic authentication and shown nowhere.",
    )
    postgres_url: SecretStr | None = Field(
        None, description="PostgreSQL that keeps Dagster's history, postgresql://user:password@host/db; unset: SQLite."
    )
    compute_logs: str | None = Field(
        None, description="s3://bucket/prefix for what runs print; unset: files beside Dagster's history."
    )
    webhook_url: SecretStr | None = Field(
        None, description="Where failed runs are posted to as JSON, besides the log; a URL with a secret in it is fine."
    )
    pin_log_days: int = Field(
        3650,
        ge=1,
        description="How long the Delta library, which knows no pins, keeps table history. Vacuum knows them and keeps "
        "30 days, and what they need.",
    )
    clip: ClipConfig = Field(
        ClipConfig(), description="Model of clip_embeddings, text_embeddings, prompt_scores and of queries."
    )
    depth: DepthConfig = Field(DepthConfig(), description="Model of depth_maps.")
    prompts: PromptScoresConfig = Field(PromptScoresConfig(), description="What prompt_scores scores frames for.")
    frames: FramesConfig = Field(FramesConfig(), description="Sampling of videos.")
    audio: AudioConfig = Field(AudioConfig(), description="Windows of sound.")
    audio_features: AudioFeaturesConfig = Field(AudioFeaturesConfig(), description="Spectrograms of audio_features.")
    duplicates: DuplicatesConfig = Field(DuplicatesConfig(), description="Near duplicates among frames.")
    guard: GuardLimits = Field(GuardLimits(), description="Limits of decoding processes.")
    cache: CacheConfig = Field(CacheConfig(), description="What training keeps on the node's disk.")

    @classmethod
    def secrets(cls) -> frozenset[str]:
        """Names of settings that are kept out of sight: secrets, and URLs that may have a password in them."""
        fields = cls.model_fields.items()
        return frozenset(name for name, field in fields if not field.repr or "SecretStr" in str(field.annotation))

    @field_validator("ray")
    @classmethod
    def _hands_on_no_secret(cls, ray: RayConfig) -> RayConfig:
        if named := {f"MMFS_{name.upper()}" for name in cls.secrets()} & set(ray.environment):
            raise ValueError(
                f"MMFS_RAY__ENVIRONMENT names {', '.join(sorted(named))}, which Ray's dashboard would show: "
                "set it on the nodes instead"
            )
        return ray

    @field_validator("compute_logs")
    @classmethod
    def _is_in_a_bucket(cls, place: str | None) -> str | None:
        if place is not None and not re.fullmatch(r"s3://[^/]+(/.*)?", place):
            raise ValueError("is not s3://bucket or s3://bucket/prefix, and files are kept where it is unset")
        return place

    @property
    def shards_in_run(self) -> int:
        """``shards_per_run`` or its default: a run is dear to start, but works on one device at a time."""
        return self.shards_per_run or (32 if self.executor == "local" else 8)

    def with_recorded(self, recorded: dict[str, Any]) -> Self:
        """These settings, with what the store recorded filled in wherever nothing was set by hand.

        Args:
            recorded: The sections `recorded()` returned when the store was made.
        """
        fill = {name: value for name, value in recorded.items() if name not in self.model_fields_set}
        if not fill:
            return self
        sections = {
            name: type(getattr(self, name)).model_validate(_absolute_demo_paths(value)) for name, value in fill.items()
        }
        return self.model_copy(update=sections)

    def recorded(self) -> dict[str, Any]:
        """The sections a store remembers: those that decide what its rows contain."""
        return {
            name: _portable_demo_paths(getattr(self, name).model_dump(mode="json"))
            for name in ("clip", "depth", "prompts", "frames", "audio", "audio_features", "duplicates")
        }


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment and these overrides.

    Raises:
        SettingsError: A variable or argument is unknown or malformed; the message names it.
    """
    known = set(Settings.model_fields)
    for variable in os.environ:
        if not variable.startswith("MMFS_") or variable in _FOREIGN:
            continue
        name = variable.removeprefix("MMFS_").split("__")[0].lower()
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean MMFS_{near[0].upper()}?" if near else "unset it, or see `mmfs doctor` for the list"
            raise SettingsError("unknown setting", where=variable, mend=hint)
    try:
        return Settings(**overrides)
    except UnreadableVariableError as error:
        raise SettingsError(
            f"{error}: {error.__cause__}", mend="nested settings are JSON or MMFS_A__B=value"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = "MMFS_" + "__".join(str(part).upper() for part in first["loc"])
        raise SettingsError(
            f"{first.get('input')!r}: {first['msg']}", where=place, mend="mend or unset this setting"
        ) from error


_DEMO_PREFIX = "<mmfs>/"


def _portable_demo_paths(section: dict[str, Any]) -> dict[str, Any]:
    """Models that ship with the package are recorded relative to it, so that a store can move between machines."""
    return {
        key: value.replace(str(_MODELS) + os.sep, _DEMO_PREFIX) if isinstance(value, str) else value
        for key, value in section.items()
    }


def _absolute_demo_paths(section: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.replace(_DEMO_PREFIX, str(_MODELS) + os.sep) if isinstance(value, str) else value
        for key, value in section.items()
    }
