"""A decoding process: reads blobs from packs, checks them, and decodes them into a region of the ring.

Run as ``python -P -m mmfs.features.decoding.worker <descriptor of a socket> <descriptor of the ring>``. It imports no
torch and ends when the runner closes the socket. Before it touches a blob it claims it in shared memory, so that its
death names the row.
"""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from typing import Any

from mmfs.errors import IntegrityError, MmfsError
from mmfs.features.decoding.decoders import TooLargeError, decode_into
from mmfs.features.decoding.ring import ALIGNMENT, NO_CLAIM, Ring, claim_of
from mmfs.media import wire
from mmfs.store.faults import fault_point
from mmfs.store.objects import Objects
from mmfs.store.packs import BlobRef, read_blobs

#: The model's own threads come first where cores are few.
_NICENESS = 5

objects_of = cache(Objects.open)


def main() -> None:
    """Serve tasks until the runner is gone."""
    os.nice(_NICENESS)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        start = wire.receive(connection)
        if start is None:
            return
        ring = Ring(start["regions"], start["region_bytes"], descriptor=int(sys.argv[2]))
        wire.send(connection, {"type": "ready"})
        while (task := wire.receive(connection)) is not None:
            wire.send(connection, {"id": task["id"], **_serve(task, ring, start["slot"])})


def _serve(task: dict[str, Any], ring: Ring, slot: int) -> dict[str, Any]:
    """Decode a task's blobs, as far as they fit into its region.

    Returns:
        ``arrays``: for each blob ``[offset, dtype, shape]``, or ``[message]`` where it cannot be decoded, or None where
        it was to be skipped; the list ends early at a blob without room, whose size is ``too_large`` when it is the
        first. Or ``error``: what, mend and where, and whether stored bytes are ``damaged``.
    """
    refs = [None if blob is None else BlobRef(*blob[1:]) for blob in task["blobs"]]
    try:
        read = iter(read_blobs(objects_of(task["store"]), [ref for ref in refs if ref is not None]))
    except MmfsError as error:
        is_damaged = isinstance(error, IntegrityError)
        return {"error": [error.what, error.mend, error.where], "damaged": is_damaged}
    region, at = ring.region(task["region"]), 0
    arrays: list[list[Any] | None] = []
    for number, (blob, ref) in enumerate(zip(task["blobs"], refs, strict=True)):
        if ref is None:
            arrays.append(None)
            continue
        ring.claims[slot] = claim_of(task["id"], number)
        fault_point("features.decode", about=str(ref.offset))
        try:
            dtype, shape, size = decode_into(blob[0], next(read), region[at:])
        except TooLargeError as error:
            return {"arrays": arrays, "too_large": 0 if arrays else error.size}
        except (IntegrityError, ValueError) as error:
            arrays.append([f"{type(error).__name__}: {error}"[:500]])
        except Exception as error:  # no fault of the row: a missing library, too little memory
            mend = getattr(error, "mend", "mend what is said, and run again")
            return {"error": [f"{type(error).__name__}: {error}"[:500], mend, None], "damaged": False}
        else:
            arrays.append([at, dtype, shape])
            at += -(-size // ALIGNMENT) * ALIGNMENT
    ring.claims[slot] = NO_CLAIM
    return {"arrays": arrays}


if __name__ == "__main__":
    main()
