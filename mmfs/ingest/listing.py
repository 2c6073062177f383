"""Find media: from what the user named to one entry a URI, with what lists and sidecars say about it.

Nothing here reads media bytes. A row or link that may not be read becomes an entry too, marked as refused, so that
it is seen in quarantine instead of being lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from mmfs.errors import IngestError, NoAnswerError, StoreError
from mmfs.ingest.folders import Entry, Files, bucket_of, stat_entry
from mmfs.ingest.listed import Listed, Listing, distinct, merge_listed
from mmfs.ingest.lists import is_list, read_rows, row_error
from mmfs.ingest.locations import child_of, is_local, parent_of, scheme_of, stem_of, suffix_of, uri_of
from mmfs.ingest.named import Named, parse_named
from mmfs.ingest.roots import Roots
from mmfs.ingest.sidecars import folder_lists, read_sidecar, sidecar_names
from mmfs.ingest.statements import Statements, names_files, read_statements, reference_of
from mmfs.ingest.stretch import Folder, Stretch, stretch
from mmfs.media.info import Reason
from mmfs.media.sniff import MEDIA_SUFFIXES
from mmfs.settings import Settings


def list_sources(uris: Sequence[str], settings: Settings) -> Listing:
    """Everything the user named, sorted by URI.

    Args:
        uris: Folders (searched with all below, hidden names left out), globs, files, ``s3://`` prefixes and objects,
            or CSV, JSON-lines or Parquet lists whose rows name files relative to the list. Folders give the files
            with the suffix of a media type; a file that is named by itself may have any.

    Raises:
        IngestError: Something named does not exist or may not be read, or a list is malformed; the message names
            file and row. Bad files and rows do not raise.
    """
    named = [parse_named(uri, allow_http=settings.allow_http) for uri in uris]
    search = Search(roots_of(named, settings), Files())
    for one in named:
        if one.kind == "folder":
            search.add_stretch(stretch(one.location, search.roots, search.files, depth=one.depth), one)
        elif one.kind == "list":
            search.add_list(one.location)
        else:
            search.add_single(one)
    search.describe()
    return search.listing()


def roots_of(named: Sequence[Named], settings: Settings) -> Roots:
    """What may be read because it was named, or is a media root."""
    places = [one.root for one in named if one.kind != "web"] + list(settings.media_roots)
    return Roots.of(places, allow_http=settings.allow_http)


class Search:
    """What one listing has found so far.

    Args:
        files: Opens what has to be read.
        settled: Whether a file may be taken; one that may not waits for a later listing. Default: any may.
        until_s: A moment of `time.monotonic` from which on nothing more is taken, once something was.

    Attributes:
        place: Which of the places that the user named is looked through.
        found: By URI.
        waiting: Files that were passed over because they, or what lies beside them, may still change.
        unanswered: Why files were passed over, or taken without a list of their folder: there was no answer.
    """

    def __init__(
        self,
        roots: Roots,
        files: Files,
        *,
        settled: Callable[[Entry], bool] | None = None,
        until_s: float | None = None,
    ) -> None:
        self.roots = roots
        self.files = files
        self.place = ""
        self.found: dict[str, Listed] = {}
        self.waiting: set[str] = set()
        self.unanswered: list[str] = []
        self.warnings: list[str] = []
        self._settled = settled
        self.until_s = until_s
        self._ignored = 0
        self._lists_done: set[str] = set()
        self._describing: dict[str, None] = {}  # locations, in the order they were met
        self._looked_for_lists: set[str] = set()
        self._link_names: set[str] = set()
        self._without_lists: set[str] = set()  # buckets

    def listing(self) -> Listing:
        """All of it, sorted by URI."""
        items = sorted(self.found.values(), key=lambda listed: listed.uri)
        return Listing(items, self._ignored, self.warnings)

    def add_stretch(self, part: Stretch, named: Named, *, lists: bool = True) -> tuple[int, str | None]:
        """Keep what of a folder or glob lies in a stretch of its walk.

        Args:
            lists: Whether a list that a glob finds is read, too.

        Returns:
            How many entries were looked at, and the position after which to go on: the end of the stretch, or where
            the time was over or a bucket gave no answer.

        Raises:
            NoAnswerError: The bucket of the first entry gave no answer before, and is not asked, or there was no time
                left to ask.
        """
        self._note_lists(parent_of(named.location), listed=True)
        looked, last = 0, ""
        for folder in part.folders:
            for above in _between(folder.location, named.location):
                self._note_lists(above, part.holds, listed=True)
            taken = self._add_folder(folder, named, part.holds, lists, least=0 if looked else 1)
            looked += taken
            if taken:
                last = child_of(folder.location, folder.entries[taken - 1].name)
            if taken < len(folder.entries):
                return looked, last.removeprefix(child_of(named.location, ""))
        return part.looked, part.end

    def add_single(self, named: Named) -> None:
        """Keep a file, object or web address that was named by itself."""
        if named.kind == "web":
            self._keep(Listed(named.location))
            return
        entry_of = self.files.object_entry if not is_local(named.location) else _local_entry
        above = parent_of(named.location) or "/"
        self._note_lists(above)
        self._note_lists(parent_of(above))
        self._add_file(entry_of(named.location), above, self._beside)

    def _add_folder(
        self, folder: Folder, named: Named, holds: Callable[[str, str], bool], lists: bool, *, least: int
    ) -> int:
        """Keep what was asked for, at least so many entries, while there is time and an answer; how many it were."""
        entries = {entry.name: entry for entry in folder.entries}
        self.warnings += folder.warnings
        self._ignored += folder.skipped
        self._note_lists(folder.location, holds, listed=True)
        useful = {location.rpartition("/")[2] for location in folder_lists(folder.location, entries.__contains__)}
        count = len(folder.entries)
        for number, (name, entry) in enumerate(entries.items()):
            if number >= least and self._is_late():
                count = number
                break
            if not named.matches(child_of(folder.location, name)):
                useful.add(name)  # nobody asked for it
            elif suffix_of(name) in MEDIA_SUFFIXES or (named.pattern and is_list(name) and entry.refused):
                was_in_time = not self.files.is_silent(entry.location) and not self._is_late()
                try:
                    useful |= {name} | self._add_file(entry, folder.location, holds)
                except NoAnswerError as error:
                    if number >= least:
                        count = number
                        break
                    if not was_in_time:
                        raise
                    # The bucket did list it: what comes after it is not to wait for this one, round after round.
                    self.unanswered.append(str(error))
                    useful.add(name)
            elif named.pattern and is_list(name):
                useful.add(name)
                if lists:
                    self.add_list(entry.location)
        self._ignored += len({entry.name for entry in folder.entries[:count]} - useful)
        return count

    def _add_file(self, entry: Entry, folder: str, holds: Callable[[str, str], bool]) -> set[str]:
        """Keep a file and what its sidecars state; the names of those sidecars."""
        listed = Listed(
            uri_of(entry.location),
            size_bytes=entry.size_bytes,
            mtime_us=entry.mtime_us,
            refused=entry.refused,
        )
        used = {name for name in sidecar_names(entry.name) if holds(folder, name)}
        if not self._may_take(entry, *(child_of(folder, name) for name in used)):
            return used
        for name in sorted(used, reverse=True):  # .txt before .json
            try:
                listed = _with_statements(listed, read_sidecar(child_of(folder, name), self.files))
            except IngestError as error:
                self.warnings.append(str(error))
        self._keep(listed)
        if listed.uri.rpartition("/")[2] != entry.name:
            self._link_names.add(entry.name)
        return used

    def _may_take(self, entry: Entry, *beside: str) -> bool:
        settled = self._settled
        if settled is None or (settled(entry) and all(settled(_local_entry(one)) for one in beside if is_local(one))):
            return True
        self.waiting.add(uri_of(entry.location))
        return False

    def _beside(self, folder: str, name: str) -> bool:
        return is_local(folder) and self.files.exists_in(folder, name)

    def add_list(self, location: str, *, after_row: int = 0, most: int | None = None) -> tuple[int, bool]:
        """Keep the rows of a list that the user named.

        Args:
            after_row: The last row that was seen before; rows are counted from 1.
            most: Rows to take; None: all.

        Returns:
            How many rows were taken, and whether there are more. None and more: the time was over before them.
        """
        if location in self._lists_done or (is_local(location) and not self._may_take(_local_entry(location))):
            return 0, False
        taken = 0
        name, folder = uri_of(location), parent_of(location) or "/"
        with self.files.open(location) as file:
            for row, cells in read_rows(file, name):
                if row == 1:
                    _must_name_files(cells, name)
                if taken == most or ((taken or row <= after_row) and self._is_late()):
                    return taken, True
                if row <= after_row:
                    continue
                self._add_row(_row_statements(cells, name, row), f"{name}#row={row}", folder)
                taken += 1
        self._lists_done.add(location)
        return taken, False

    def _add_row(self, said: Statements, name: str, folder: str) -> None:
        if said.reference is None:
            self._keep(Listed(name, refused=f"{Reason.UNSUPPORTED.value}: the row names no file"))
            return
        place = self.roots.resolve(said.reference, folder)
        listed = Listed(uri_of(place.location), refused=place.refused)
        if place.refused is None and is_local(place.location):
            beside = parent_of(place.location) or "/"
            self._add_file(_local_entry(place.location), beside, self._beside)
            if listed.uri not in self.found:
                return  # it waits
            listed = self.found[listed.uri]
        self._keep(_with_statements(listed, said))

    def _note_lists(
        self, folder: str | None, holds: Callable[[str, str], bool] | None = None, *, listed: bool = False
    ) -> None:
        """Look for the lists that describe a folder's files, once a folder.

        Args:
            listed: The bucket has just listed something: if it says nothing of these, it may of others.
        """
        if folder is None or folder in self._looked_for_lists:
            return
        self._looked_for_lists.add(folder)
        if not is_local(folder) and bucket_of(folder) in self._without_lists:
            self.warnings.append(f"{folder}: no look for lists of captions: its bucket gave no answer about others")
            return
        was_silent = self.files.is_silent(folder)
        try:
            found = folder_lists(folder, partial(holds or self.files.exists_in, folder))
            self._describing |= dict.fromkeys(found)
        except StoreError as error:  # who may list a prefix may not always look above it
            self.warnings.append(f"{folder}: cannot look for lists of captions: {error.what}")
            if listed and not was_silent and isinstance(error, NoAnswerError):
                self._without_lists.add(bucket_of(folder))  # another such wait, and no time is left for files
                self.unanswered.append(str(error))
                self.files.ask_again(folder)

    def describe(
        self,
        *,
        whole: bool = True,
        until_s: float | None = None,
        failed: Callable[[IngestError | StoreError], None] | None = None,
    ) -> None:
        """Add what the folders' own lists state about files that were found. They list no files themselves.

        Args:
            whole: Everything there is was looked at: a row about a file that was not found is worth a look.
            until_s: A moment of `time.monotonic` by which all lists are read, or cannot be.
            failed: Told of a list that cannot be read, instead of raising its error.

        Raises:
            IngestError: A list cannot be read.
        """
        names = None if whole else {uri.rpartition("/")[2] for uri in self.found} | self._link_names
        for location in self._describing:
            if location in self._lists_done:
                continue
            self._lists_done.add(location)
            try:
                if not is_local(location) or self._may_take(_local_entry(location)):
                    self._describe_with(location, names, until_s)
            except (IngestError, StoreError) as error:
                if failed is None:
                    raise
                failed(error)

    def _describe_with(self, location: str, names: set[str] | None, until_s: float | None) -> None:
        name, folder = uri_of(location), parent_of(location) or "/"
        absent: list[str] = []
        with self.files.open(location) as file:
            for row, cells in read_rows(file, name):
                if until_s is not None and time.monotonic() >= until_s:
                    raise row_error(
                        name, row, "was not reached in time", "split the list, or run `mmfs ingest` on its folder"
                    )
                if row == 1 and not names_files(cells) and stem_of(name.rpartition("/")[2]) == "metadata":
                    return  # some other program's
                if row == 1:
                    _must_name_files(cells, name)
                if names is not None and not _may_name(reference_of(cells), names):
                    continue
                said = _row_statements(cells, name, row)
                place = self.roots.resolve(said.reference, folder) if said.reference else None
                if place is None or place.refused:
                    continue  # about files that nobody named
                known = self.found.get(uri_of(place.location))
                if known is not None:
                    self.found[known.uri] = _with_statements(known, said)
                elif names is None and is_local(place.location) and _local_entry(place.location).size_bytes is None:
                    absent.append(f"row {row} ({said.reference!r})")
        if absent:
            self.warnings.append(f"{name}: {len(absent)} rows name files that do not exist, first {absent[0]}")

    def _is_late(self) -> bool:
        return self.until_s is not None and time.monotonic() >= self.until_s

    def _keep(self, listed: Listed) -> None:
        known, listed = self.found.get(listed.uri), replace(listed, places=frozenset({self.place}))
        self.found[listed.uri] = listed if known is None else merge_listed(known, listed)


def _between(folder: str, top: str) -> list[str]:
    """The folders above a folder, up to the top, which is among them unless it is the folder itself."""
    found: list[str] = []
    while folder != top:
        above = parent_of(folder)
        if above is None:
            break
        found.append(folder := above)
    return found[::-1]


def _may_name(reference: str | None, names: set[str]) -> bool:
    """Whether a reference can be one to a file of these names; following it costs far more."""
    return reference is not None and (scheme_of(reference) == "file" or reference.rpartition("/")[2] in names)


def _must_name_files(cells: dict[str, object], name: str) -> None:
    if not names_files(cells):
        raise row_error(name, 1, "no column names the file", "call it uri, file, path or url")


def _local_entry(location: str) -> Entry:
    return stat_entry(location.rpartition("/")[2], location)


def _with_statements(listed: Listed, said: Statements) -> Listed:
    return replace(
        listed,
        captions=distinct((*listed.captions, *said.captions)),
        licence=said.licence or listed.licence,
        creator=said.creator or listed.creator,
        attributes={**listed.attributes, **said.attributes},
    )


def _row_statements(cells: dict[str, object], name: str, row: int) -> Statements:
    try:
        return read_statements(cells, source="list")
    except IngestError as error:
        raise row_error(name, row, error.what, error.mend) from error
