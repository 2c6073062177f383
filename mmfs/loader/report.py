"""What training will see, said before it begins: the pin's coverage, and what was taken down since."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mmfs.errors import MmfsError
from mmfs.loader.aside import aside
from mmfs.loader.inverse import MediaFinder
from mmfs.store.keys import Ids
from mmfs.store.pin import Pin
from mmfs.store.tombstones import taken_down_since

if TYPE_CHECKING:
    from mmfs.store.store import Store

log = logging.getLogger("mmfs.loader")


def taken_down_samples(store: Store, pin: Pin) -> int:
    """How many samples of a pin belong to media that were taken down since it was made: a loader leaves them out.

    Raises:
        StoreError: A file of the pin is gone.
        IntegrityError: A file is damaged.
    """
    media = [one.decode() for one in taken_down_since(store, pin.created_at_us).tolist()]
    return len(MediaFinder(store.objects, media).samples(pin)[0]) if media else 0


def log_report(store: Store, pin: Pin, buried: Ids) -> None:
    """Log what a pin covers, at once; what was taken down since, once a thread of its own has counted it.

    Args:
        buried: Media that were taken down so far; without any, nothing is looked up.
    """
    log.info("pin %s: %s", pin.name, pin.report())
    if len(buried) and log.isEnabledFor(logging.INFO):
        aside(lambda: _log_taken_down(store, pin), "mmfs-coverage")


def _log_taken_down(store: Store, pin: Pin) -> None:
    try:
        count = taken_down_samples(store, pin)
    except (MmfsError, OSError) as error:
        log.warning("pin %s: what was taken down cannot be counted: %s", pin.name, error)
        return
    if count:
        log.info(
            "pin %s: %s samples were taken down since it was made; repeats fill their places", pin.name, f"{count:,}"
        )
