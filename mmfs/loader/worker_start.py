"""Where the workers of a DataLoader begin: one state in shared memory, on which all of them agree."""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from mmfs.errors import LoaderError

#: Bytes of a document with its head: a state has less than 10 KB.
_ROOM = 12 * 1024
_HEAD = struct.Struct("<II")  # length and CRC-32
_NEXT, _NOW, _BEGAN = 0, _ROOM, 2 * _ROOM
#: The first worker imports torch and opens the store before it says where the iteration begins.
_WAIT_S = 300.0
_POLL_S = 0.002


class WorkerStart:
    """The beginning of each iteration, shared by the process of the loader and its workers.

    The process of the loader says where the next iteration begins (`set`). When workers begin one, the first worker
    takes that state for all of them and puts the beginning of the next epoch in its place; the others wait for it.

    Args:
        state: Where the first iteration begins, as `Loader.state_dict` gives it.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._shared = torch.zeros(2 * _ROOM + 1, dtype=torch.uint8)
        self._shared.share_memory_()  # type: ignore[no-untyped-call]
        self.set(state)

    @property
    def has_begun(self) -> bool:
        """Whether workers have begun an iteration since the last `set`."""
        return bool(self._shared[_BEGAN])

    def set(self, state: Mapping[str, Any]) -> None:
        """Begin the next iteration here."""
        self._write(_NEXT, state)
        self._shared[_BEGAN] = 0

    def lead(self, key: tuple[int, int], after: Callable[[dict[str, Any]], Mapping[str, Any]] | None) -> dict[str, Any]:
        """What the first worker calls: the state that the iteration begins with.

        Args:
            key: Names the iteration: the seed that its workers share, and how many it makes of these processes.
            after: From a state to the one at the end of its epoch; None for a stream, which has no end.

        Raises:
            LoaderError: New workers with the seed of earlier ones cannot be told from them; or a stream was left, and
                nobody said where to go on.
        """
        now = self._read(_NOW)
        if now is not None and now["key"] == list(key):
            raise LoaderError(
                f"DataLoader workers were started twice with the same seed {key[0]}",
                mend="do not seed torch alike before every epoch, or keep the workers (persistent_workers=True)",
            )
        if after is None and self.has_begun:
            self._write(_NOW, {"key": key, "state": None})
            raise LoaderError(
                "DataLoader workers cannot know where the last loop left the stream",
                mend='load batch["_state"] of its last batch before the next loop',
            )
        state = self._read(_NEXT)
        if state is None:
            raise LoaderError("the shared state of DataLoader workers is damaged", mend="make the loader again")
        if after is not None:
            self._write(_NEXT, after(state))
        self._shared[_BEGAN] = 1
        self._write(_NOW, {"key": key, "state": state})
        return state

    def follow(self, key: tuple[int, int]) -> dict[str, Any]:
        """What the other workers call: the state that the iteration begins with, once the first worker has said it.

        Raises:
            LoaderError: It never does, or could not.
        """
        until = time.monotonic() + _WAIT_S
        while time.monotonic() < until:
            now = self._read(_NOW)
            if now is not None and now["key"] == list(key):
                if now["state"] is None:
                    raise LoaderError("the first DataLoader worker could not begin", mend="see its error")
                state: dict[str, Any] = now["state"]
                return state
            time.sleep(_POLL_S)
        raise LoaderError(
            f"the first DataLoader worker has not begun within {_WAIT_S:.0f} s", mend="see its log, and start again"
        )

    def _write(self, at: int, document: Mapping[str, Any]) -> None:
        data = json.dumps(document).encode()
        whole = _HEAD.pack(len(data), zlib.crc32(data)) + data
        self._shared[at : at + len(whole)] = torch.frombuffer(bytearray(whole), dtype=torch.uint8)

    def _read(self, at: int) -> dict[str, Any] | None:
        """The document, or None where there is none, or half of one."""
        whole = self._shared[at : at + _ROOM].numpy().tobytes()
        length, checksum = _HEAD.unpack_from(whole)
        data = whole[_HEAD.size : _HEAD.size + length]
        if not length or zlib.crc32(data) != checksum:
            return None
        found: dict[str, Any] = json.loads(data)
        return found
