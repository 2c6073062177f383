"""What the demo works on: a store with the models that ship with mmfs, and media."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mmfs.errors import IngestError, SettingsError
from mmfs.media.scenes import write_scenes
from mmfs.settings import DEMO_CLIP_DIR, DEMO_DEPTH_DIR, ClipConfig, DepthConfig, Settings, load_settings

#: Small shards, so that there are partitions to look at.
_FILES_A_SHARD = 96


def demo_settings(store: str | None) -> Settings:
    """Settings with the demo models, unless others are set by hand.

    Raises:
        SettingsError: A setting is unknown or malformed.
    """
    given: dict[str, object] = {"store": store} if store else {}
    if not _set_by_hand("MMFS_SHARD_MAX_FILES"):
        given["shard_max_files"] = _FILES_A_SHARD
    if not _set_by_hand("MMFS_CLIP"):
        given["clip"] = ClipConfig(model=f"local-dir:{DEMO_CLIP_DIR}", pretrained=None)
    if not _set_by_hand("MMFS_DEPTH"):
        given["depth"] = DepthConfig(model=str(DEMO_DEPTH_DIR))
    return load_settings(**given)


def check_models(settings: Settings, recorded: Settings) -> None:
    """Refuse to put demo vectors into a store that was made with other models.

    Args:
        settings: What the demo would use.
        recorded: What the store says it was made with.

    Raises:
        SettingsError: They differ.
    """
    if settings.clip.model != recorded.clip.model or settings.depth.model != recorded.depth.model:
        raise SettingsError(
            f"the store was made with {recorded.clip.model} and {recorded.depth.model}, not with the demo models",
            where=settings.store,
            mend="give the demo a store of its own: mmfs demo --store ./data/demo",
        )


def rendered_media(
    settings: Settings, pictures: int, clips: int, progress: Callable[[int, int], None]
) -> tuple[Path, bool]:
    """Pictures and clips of scenes that the demo models never saw; the folder, and whether anything was rendered.

    Args:
        pictures, clips: How many; a folder that holds so many already is left as it is.
        progress: Called with the files done and the files in all.
    """
    folder = (Path("data") if "://" in settings.store else Path(settings.store).absolute().parent) / "demo-media"
    mark, wanted = folder / ".rendered", f"{pictures} pictures, {clips} clips"
    if mark.exists() and mark.read_text() == wanted:
        return folder, False
    write_scenes(folder, split="test", images=pictures, videos=clips, progress=progress)
    mark.write_text(wanted)
    return folder, True


def own_media(places: Sequence[str | Path]) -> list[str]:
    """The user's folders and buckets; folders are checked, buckets are when they are listed.

    Raises:
        IngestError: A folder does not exist.
    """
    return [str(place) if "://" in str(place) else _folder(Path(place)) for place in places]


def _folder(folder: Path) -> str:
    if not folder.exists():
        raise IngestError(f"there is no {folder}", where="--media", mend="name a folder or file with media")
    return str(folder.absolute())


def _set_by_hand(prefix: str) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}__") for name in os.environ)
