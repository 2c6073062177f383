"""The schedule of whatever a loader may be given."""

from __future__ import annotations

from mmfs.loader.bucket_schedule import BucketSchedule
from mmfs.loader.mixture import Mixture
from mmfs.loader.mixture_schedule import MixtureSchedule
from mmfs.loader.schedule import Schedule, SelectionSchedule
from mmfs.store.pin import Pin


def schedule_of(source: Pin | Mixture, *, seed: int, shuffle: bool) -> Schedule:
    """The schedule of a pin, of a pin with shape buckets, or of a mixture.

    Raises:
        PinError: It holds no sample.
    """
    if isinstance(source, Mixture):
        return MixtureSchedule.of(source, seed=seed, shuffle=shuffle)
    return (BucketSchedule if source.buckets else SelectionSchedule).of(source, seed=seed, shuffle=shuffle)
