"""Which data version each shard of a run gets: equal content keeps its version."""

from collections.abc import Mapping
from dataclasses import dataclass

from mmfs.ids import digest
from mmfs_assets.planning.last_events import LastEvent


@dataclass(frozen=True)
class DataVersions:
    """Data versions of the shards of a run.

    Attributes:
        common: What the run's result carries: of one shard, its own; of several, one for all.
        each: What each shard's own would be.
        kept: Shards whose content is what it was, and whose version the common one would wrongly change.
    """

    common: str
    each: dict[str, str]
    kept: dict[str, str]

    @classmethod
    def of(cls, found: Mapping[str, tuple[str, str]], last: Mapping[str, LastEvent]) -> "DataVersions":
        """The versions.

        Args:
            found: By shard: the version that its work gave, and its content digest now.
            last: The last event of each shard, where there is one.

        >>> before = {shard: LastEvent(1, "c", "v", "i", "same", "s") for shard in ("a", "b")}
        >>> DataVersions.of({"a": ("x", "same"), "b": ("y", "same")}, before).common
        'v'
        >>> DataVersions.of({"a": ("x", "same"), "b": ("y", "other")}, before).kept
        {'a': 'v'}
        """
        unchanged: dict[str, str] = {}
        for shard, (_, content) in found.items():
            event = last.get(shard)
            if event and event.data_version and event.content == content:
                unchanged[shard] = event.data_version
        each = {shard: unchanged.get(shard, version) for shard, (version, _) in found.items()}
        if len(each) == 1 or (unchanged.keys() == each.keys() and len(set(each.values())) == 1):
            return cls(next(iter(each.values())), each, {})
        common = digest(*(version for version, _ in found.values()))
        return cls(common, each, {shard: version for shard, version in unchanged.items() if version != common})
