"""Pins of a store: made once, never changed, obeyed by vacuum."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast, get_args

from pydantic import ValidationError

from mmfs.errors import PinError, StoreError
from mmfs.schemas import Grain
from mmfs.store.buckets import Size, checked_buckets
from mmfs.store.pin import (
    Bucket,
    LiveColumn,
    LiveInput,
    Missing,
    OrderParameters,
    Pin,
    PinnedColumn,
    PinnedFile,
    PinnedTable,
    Window,
)
from mmfs.store.runs import runs_name, runs_parquet
from mmfs.store.versions import Version

if TYPE_CHECKING:
    from mmfs.store.store import Store

__all__ = [
    "Bucket",
    "LiveColumn",
    "LiveInput",
    "Missing",
    "OrderParameters",
    "Pin",
    "PinnedColumn",
    "PinnedFile",
    "PinnedTable",
    "Pins",
    "Version",
    "Window",
]

_FOLDER = "pins"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Pins:
    """The pins of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(
        self,
        name: str,
        *,
        now_us: int,
        columns: Sequence[str] | None = None,
        live: Mapping[str, LiveColumn] | None = None,
        subset: str | None = None,
        where: str | None = None,
        missing: Missing = "error",
        versions: Mapping[str, Version] | None = None,
        like: str | None = None,
        grain: str | None = None,
        window: Window | None = None,
        buckets: Sequence[Size] = (),
        order: OrderParameters | None = None,
    ) -> Pin:
        """Fix columns, versions and a selection under a name. Making the same pin again returns the one there is.

        Args:
            name: Letters, digits, ``.``, ``_`` and ``-``; at most 100 characters.
            now_us: The time to record, microseconds since 1970.
            columns: ``table.column`` and ``live:table.column`` names; with ``like``, default: its columns.
            live: What the live ones among them are; with ``like``, default: as there.
            subset: Only samples of this saved subset.
            where: Only samples that meet this condition, evaluated now.
            missing: A selected sample without a value is an ``"error"``, left out (``"skip"``), or kept with zeros and
                a mask (``"null"``).
            versions: By table, a Delta version; a Dagster run id, for the last version which that run committed; or a
                time (`datetime`, or ISO 8601; UTC without an offset), for the newest version at or before it. Default:
                the newest, or with ``like`` those of that pin.
            like: Take the selection of this pin, sample by sample.
            grain: Default: the finest of the columns, frame > audio_window > caption > media.
            window: Samples of several rows instead of single rows.
            buckets: Heights and widths, in pixels, to which a loader cuts pictures and depth maps: each sample's to
                the one whose log aspect ratio is nearest to that of its stored picture (of a window, the first).
                Batches are of one bucket each. At most 64; some may stay empty.
            order: How the sample order is made; with ``like``, default: as there.

        Raises:
            PinError: The name is taken or not allowed, a column, version, subset or pin does not exist, selected
                samples lack values, or no sample is selected; or buckets are given and are no sizes, no column holds
                pictures, or their sizes are not known.
            WhereError: The condition is wrong.
        """
        from mmfs.store.pinning import Request, draw_up

        _check_name(name)
        model = self.get(like) if like is not None else None
        if model is not None and (subset, where, grain, window, *buckets) != (None, None, None, None):
            raise PinError(
                "like= takes a whole selection, so subset=, where=, grain=, window= and buckets= cannot change it",
                mend="leave them out, or select anew without like=",
            )
        columns = columns or (model.columns if model else ())
        request = Request(
            columns=tuple(dict.fromkeys(columns)),
            live={**(model.live if model else {}), **(live or {})},
            subset=model.subset if model else subset,
            where=model.where if model else where,
            missing=cast("Missing", _checked("missing", missing, get_args(Missing))),
            versions=dict(versions or {}),
            like=model,
            grain=model.grain if model else cast("Grain | None", grain and _checked("grain", grain, get_args(Grain))),
            window=model.window if model else window,
            buckets=checked_buckets([(one.height, one.width) for one in model.buckets] if model else buckets),
            order=order or (model.order if model else OrderParameters()),
        )
        if not request.columns:
            raise PinError("a pin needs columns", mend='for example columns=["frames.image", "captions.text"]')
        draft = draw_up(self._store, name, request, now_us=now_us)
        pin = draft.pin
        if draft.runs is not None:
            data = runs_parquet(draft.runs)
            path = f"{_FOLDER}/{name}/{runs_name(data)}"
            pin = pin.model_copy(update={"selection": path})
            self._store.objects.put(path, data)
        return self._publish(pin)

    def get(self, name: str) -> Pin:
        """The pin of this name.

        Raises:
            PinError: There is none, or its document is damaged.
        """
        _check_name(name)
        if not self._store.objects.exists(_document(name)):
            raise PinError(f"there is no pin {name!r}", mend="pins here: " + (", ".join(self.names()) or "none yet"))
        return read_pin(self._store.objects.get(_document(name)), name)

    def names(self) -> list[str]:
        """Names of all pins, sorted."""
        found = (info.path.removeprefix(f"{_FOLDER}/") for info in self._store.objects.list(_FOLDER))
        return sorted(path.removesuffix(".json") for path in found if path.endswith(".json") and "/" not in path)

    def remove(self, name: str) -> None:
        """Remove a pin; the next vacuum may free what only it named.

        Raises:
            PinError: There is none.
        """
        pin = self.get(name)
        self._store.objects.delete(_document(name))
        if pin.selection is not None:
            self._store.objects.delete(pin.selection)

    def _publish(self, pin: Pin) -> Pin:
        try:
            self._store.objects.put(_document(pin.name), pin.document(), if_absent=True)
        except StoreError:
            if not self._store.objects.exists(_document(pin.name)):
                raise
            there = self.get(pin.name)
            if there.id != pin.id:
                raise PinError(
                    f"pin {pin.name!r} exists with another content, and a pin never changes",
                    mend=f"choose another name, or remove it first (`mmfs unpin {pin.name}`)",
                ) from None
            return there
        return pin


def read_pin(document: bytes, name: str) -> Pin:
    """A pin from its document.

    Raises:
        PinError: The document is damaged: it does not parse, or its content does not have its id.
    """
    try:
        pin = Pin.model_validate_json(document)
    except ValidationError as error:
        raise PinError(f"the document of pin {name!r} is damaged", mend="restore it, or pin again") from error
    if pin.with_id().id != pin.id:
        raise PinError(
            f"the document of pin {name!r} was changed: its id does not fit", mend="restore it, or pin again"
        )
    return pin


def _document(name: str) -> str:
    return f"{_FOLDER}/{name}.json"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise PinError(
            f"{name!r} is no name for a pin", mend="use letters, digits, '.', '_' and '-', at most 100 characters"
        )


def _checked(argument: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise PinError(f"{argument}={value!r} is not known", mend="choose one of " + ", ".join(allowed))
    return value
