"""mmfs as one side of a race: batches of a pin as (keys, values)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from making.samples import Samples

from measuring.passes import Batches


def epochs(samples: Samples, pin: str, **options: Any) -> Callable[[], Callable[[], Batches]]:
    """For `passes`: opens a loader; each call starts its next epoch."""

    def opening() -> Callable[[], Batches]:
        loader = samples.loader(pin, **options)

        def epoch() -> Batches:
            for batch in loader:
                valid = int(batch["_valid"].sum())
                yield batch["_key"][:valid], batch

        return epoch

    return opening
