"""Look through watched places a page at a time, round after round, however many files there are.

A page looks at so many entries and says where the next one begins. A round goes once through all places; whatever is
there all the while is seen exactly once in it, and what comes and goes meanwhile makes nothing else be missed.

A file of this machine that was written to a moment ago may still grow, and waits for a later round. What counts is the
distance between its time and now, in either direction: after a clock was set back, files seem to come from the future,
and must not wait until it catches up. A clock that jumps ahead can make a growing file look settled; its next write
changes its mark, and it is listed again. Objects of buckets are whole when they appear.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmfs.errors import IngestError, StoreError
from mmfs.ids import digest
from mmfs.ingest.folders import Entry, Files
from mmfs.ingest.listed import Listing
from mmfs.ingest.listing import Search, roots_of
from mmfs.ingest.lists import is_list
from mmfs.ingest.locations import child_of, is_local, uri_of
from mmfs.ingest.named import Named, parse_named
from mmfs.ingest.stretch import stretch
from mmfs.settings import Settings

_FORMAT = 1
#: Nothing more is taken into a page after this time: a sensor that takes a minute is ended by Dagster.
PAGE_S = 20.0
#: A bucket that does not answer for so long is given up for this page, so that the other places have their turn. So
#: much longer than `PAGE_S` may a page take in all.
_BUCKET_S = 10.0


@dataclass(frozen=True)
class Page:
    """What one look found.

    Attributes:
        listing: Files and what is said about them.
        cursor: Where the next page begins.
        ends_round: Whether it begins at the first place again.
        looked: Entries of folders and rows of lists that were looked at.
        waiting: Files that may still grow.
        failures: What could not be looked at, and why.
    """

    listing: Listing
    cursor: str
    ends_round: bool
    looked: int
    waiting: int
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Position:
    """Where to go on in a place.

    Attributes:
        after: Position in the walk of a folder; None: nothing of it was seen yet.
        row: Last row that was seen of the list at ``after``, or of the list that the place is; None: in no list.
    """

    after: str | None = None
    row: int | None = None


@dataclass
class _Cursor:
    """The place where the next page begins, and the position in each place that was begun and not finished."""

    place: int = 0
    begun: dict[int, Position] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None, uris: Sequence[str]) -> _Cursor:
        """What `write` wrote for these places; the beginning for anything else."""
        try:
            found = json.loads(text or "")
            if found["v"] != _FORMAT or found["watch"] != digest(*uris):
                return cls()
            begun = {int(place): Position(*position) for place, position in found["begun"].items()}
            cursor = cls(found["place"], begun)
            return cursor if cursor._is_sound(len(uris)) else cls()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls()

    def write(self, uris: Sequence[str]) -> str:
        begun = {str(place): [position.after, position.row] for place, position in sorted(self.begun.items())}
        return json.dumps({"v": _FORMAT, "watch": digest(*uris), "place": self.place, "begun": begun})

    def _is_sound(self, places: int) -> bool:
        return (
            _is_count(self.place)
            and self.place < places
            and all(
                place in range(places)
                and (position.after is None or isinstance(position.after, str))
                and (position.row is None or _is_count(position.row))
                for place, position in self.begun.items()
            )
        )


def look_page(
    uris: Sequence[str], settings: Settings, cursor: str | None, *, now_us: int, seconds: float = PAGE_S
) -> Page:
    """The next page of these places: at most ``watch_page_files`` entries, and one at least.

    A place that cannot be looked at does not keep the others from being looked at: it is named in ``failures``, and
    looked at again in the next round, from where it failed. A file about which a bucket gives no answer is named, too,
    and does not keep those behind it from being taken. Rows of a list that is rewritten while its rows are
    paged through may have to wait for the next round. A folder's own list describes the files below it; where it
    names files elsewhere (``../``), only those of the same page.

    A page takes ``seconds`` and the time for which a bucket is waited for, and no longer, whatever buckets do. A list
    whose rows are not reached in that time is a failure.

    Args:
        uris: As for `list_sources`.
        cursor: What the last page gave; one of other places, or garbage, begins anew.
        now_us: Microseconds since 1970.
        seconds: Time after which the page takes nothing more, besides.
    """
    until_s = time.monotonic() + seconds
    failures: list[str] = []
    named = _named(uris, settings, failures)
    search = Search(
        roots_of(list(named.values()), settings),
        Files(_BUCKET_S, until_s=until_s + _BUCKET_S),
        settled=_settled(now_us, settings.watch_settle_s),
        until_s=until_s,
    )
    at, looked, steps = _Cursor.read(cursor, uris), 0, 0
    while at.place < len(uris) and looked < settings.watch_page_files and (not steps or time.monotonic() < until_s):
        position = at.begun.pop(at.place, Position())
        if at.place not in named:
            at.place += 1
            continue
        place, steps, search.place = named[at.place], steps + 1, uris[at.place]
        try:
            seen, following = _step(search, place, position, settings.watch_page_files - looked)
            if steps == 1 and following == position:  # it had all the time that there is
                raise _unreached(place, position, seconds)
        except (IngestError, StoreError) as error:
            failures.append(str(error))
            seen, following = 0, None
            if place.kind == "folder" and position.row is not None:
                following = Position(position.after)  # it was a list in it that failed
            elif place.kind == "folder" and position.after is not None:
                at.begun[at.place] = position
        looked += seen
        if following is None:
            at.place += 1
        else:
            at.begun[at.place] = following
    failures += search.unanswered
    search.describe(whole=False, until_s=until_s + _BUCKET_S, failed=lambda error: failures.append(str(error)))
    ended = at.place >= len(uris)
    at.place = 0 if ended else at.place
    return Page(search.listing(), at.write(uris), ended, looked, len(search.waiting), tuple(failures))


def _named(uris: Sequence[str], settings: Settings, failures: list[str]) -> Mapping[int, Named]:
    """The places that there are, by number; why others are not goes to the failures."""
    found: dict[int, Named] = {}
    for number, uri in enumerate(uris):
        try:
            found[number] = parse_named(uri, allow_http=settings.allow_http)
        except IngestError as error:
            failures.append(str(error))
    return found


def _settled(now_us: int, settle_s: float) -> Callable[[Entry], bool]:
    def is_settled(entry: Entry) -> bool:
        return not is_local(entry.location) or entry.mtime_us is None or abs(now_us - entry.mtime_us) >= settle_s * 1e6

    return is_settled


def _step(search: Search, place: Named, position: Position, most: int) -> tuple[int, Position | None]:
    """Look at the next entries of a place: how many there were, and where to go on; None when it is done."""
    if place.kind == "list":
        taken, more = search.add_list(place.location, after_row=position.row or 0, most=most)
        return taken, Position(row=(position.row or 0) + taken) if more else None
    if place.kind != "folder":
        search.add_single(place)
        return 1, None
    if position.row is not None and position.after is not None:
        found = search.roots.resolve(child_of(place.location, position.after), "/")
        if found.refused:  # it is another link than it was in the page before
            raise IngestError(f"{found.location!r} is not read: {found.refused}", mend="name the list itself")
        taken, more = search.add_list(found.location, after_row=position.row, most=most)
        return taken, Position(position.after, position.row + taken if more else None)

    def is_wanted_list(location: str) -> bool:
        is_wanted = bool(place.pattern) and is_list(location) and place.matches(location)
        return is_wanted and search.roots.resolve(location, "/").refused is None

    part = stretch(
        place.location,
        search.roots,
        search.files,
        depth=place.depth,
        after=position.after,
        most=most,
        until_s=search.until_s,
        ends_at=is_wanted_list,
    )
    looked, end = search.add_stretch(part, place, lists=False)
    if end is None:
        return looked, None
    at_list = is_wanted_list(child_of(place.location, end))
    return looked, Position(end, 0 if at_list else None)


def _unreached(place: Named, position: Position, seconds: float) -> IngestError:
    return IngestError(
        f"row {(position.row or 0) + 1:,} was not reached within {seconds:g} s",
        where=uri_of(place.location if position.after is None else child_of(place.location, position.after)),
        mend="split the list, or run `mmfs ingest` on it",
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
