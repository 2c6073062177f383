"""Find media: from what the user named to one entry a URI, with what lists and sidecars say about it.

Nothing here reads media bytes. A row or link that may not be read becomes an entry too, marked as refused, so that
it is seen in quarantine instead of being lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mmfs.errors import IngestError, StoreError
from mmfs.ingest.folders import Entry, Folder, exists_in, object_entry, open_binary, stat_entry, walk
from mmfs.ingest.listed import Listed, Listing, distinct, merge_listed
from mmfs.ingest.lists import is_list, read_rows, row_error
from mmfs.ingest.locations import child_of, is_local, parent_of, stem_of, suffix_of, uri_of
from mmfs.ingest.named import Named, parse_named
from mmfs.ingest.roots import Roots
from mmfs.ingest.sidecars import folder_lists, read_sidecar, sidecar_names
from mmfs.ingest.statements import Statements, names_files, read_statements
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
    places = [one.root for one in named if one.kind != "web"] + list(settings.media_roots)
    search = _Search(Roots.of(places, allow_http=settings.allow_http))
    for one in named:
        search.add(one)
    search.describe()
    items = sorted(search.found.values(), key=lambda listed: listed.uri)
    return Listing(items, search.ignored, search.warnings)


class _Search:
    """What one listing has found so far."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self.found: dict[str, Listed] = {}
        self.ignored = 0
        self.warnings: list[str] = []
        self._lists_done: set[str] = set()
        self._describing: dict[str, None] = {}  # locations, in the order they were met

    def add(self, named: Named) -> None:
        if named.kind == "folder":
            self._note_lists(parent_of(named.location))
            for folder in walk(named.location, self.roots, depth=named.depth):
                self._add_folder(folder, named)
        elif named.kind == "list":
            self._add_list(named.location)
        elif named.kind == "web":
            self._keep(Listed(named.location))
        else:
            entry_of = object_entry if not is_local(named.location) else _local_entry
            above = parent_of(named.location) or "/"
            self._note_lists(above)
            self._note_lists(parent_of(above))
            self._add_file(entry_of(named.location), above, self._beside)

    def _add_folder(self, folder: Folder, named: Named) -> None:
        entries = {entry.name: entry for entry in folder.entries}
        self.warnings += folder.warnings
        self.ignored += folder.skipped
        readable = {name for name, entry in entries.items() if entry.refused is None}
        describing = list(folder_lists(folder.location, readable.__contains__))
        self._describing |= dict.fromkeys(describing)
        useful = {location.rpartition("/")[2] for location in describing}
        for name, entry in entries.items():
            if not named.matches(child_of(folder.location, name)):
                useful.add(name)  # nobody asked for it
            elif suffix_of(name) in MEDIA_SUFFIXES:
                useful |= {name} | self._add_file(entry, folder.location, lambda _, sidecar: sidecar in readable)
            elif named.pattern and is_list(name):
                self._add_list(entry.location)
                useful.add(name)
        self.ignored += len(entries.keys() - useful)

    def _add_file(self, entry: Entry, folder: str, holds: Callable[[str, str], bool]) -> set[str]:
        """Keep a file and what its sidecars state; the names of those sidecars."""
        listed = Listed(
            uri_of(entry.location),
            size_bytes=entry.size_bytes,
            mtime_us=entry.mtime_us,
            refused=entry.refused,
        )
        used = {name for name in sidecar_names(entry.name) if holds(folder, name)}
        for name in sorted(used, reverse=True):  # .txt before .json
            try:
                listed = _with_statements(listed, read_sidecar(child_of(folder, name)))
            except IngestError as error:
                self.warnings.append(str(error))
        self._keep(listed)
        return used

    def _beside(self, folder: str, name: str) -> bool:
        return is_local(folder) and exists_in(folder, name)

    def _add_list(self, location: str) -> None:
        """Keep every row of a list that the user named."""
        if location in self._lists_done:
            return
        self._lists_done.add(location)
        name, folder = uri_of(location), parent_of(location) or "/"
        with open_binary(location) as file:
            for row, cells in read_rows(file, name):
                if row == 1 and not names_files(cells):
                    raise row_error(name, row, "no column names the file", "call it uri, file, path or url")
                said = _row_statements(cells, name, row)
                if said.reference is None:
                    refused = f"{Reason.UNSUPPORTED.value}: the row names no file"
                    self._keep(Listed(f"{name}#row={row}", refused=refused))
                    continue
                place = self.roots.resolve(said.reference, folder)
                listed = Listed(uri_of(place.location), refused=place.refused)
                if place.refused is None and is_local(place.location):
                    beside = parent_of(place.location) or "/"
                    self._add_file(_local_entry(place.location), beside, self._beside)
                    listed = self.found[listed.uri]
                self._keep(_with_statements(listed, said))

    def _note_lists(self, folder: str | None) -> None:
        if folder is None:
            return
        try:
            self._describing |= dict.fromkeys(folder_lists(folder))
        except StoreError as error:  # who may list a prefix may not always look above it
            self.warnings.append(f"{folder}: cannot look for lists of captions: {error.what}")

    def describe(self) -> None:
        """Add what the folders' own lists state about files that were found. They list no files themselves."""
        for location in self._describing:
            if location not in self._lists_done:
                self._lists_done.add(location)
                self._describe_with(location)

    def _describe_with(self, location: str) -> None:
        name, folder = uri_of(location), parent_of(location) or "/"
        absent: list[str] = []
        with open_binary(location) as file:
            for row, cells in read_rows(file, name):
                if row == 1 and not names_files(cells):
                    if stem_of(name.rpartition("/")[2]) == "metadata":
                        return  # some other program's
                    raise row_error(name, row, "no column names the file", "call it uri, file, path or url")
                said = _row_statements(cells, name, row)
                place = self.roots.resolve(said.reference, folder) if said.reference else None
                if place is None or place.refused:
                    continue  # about files that nobody named
                known = self.found.get(uri_of(place.location))
                if known is not None:
                    self.found[known.uri] = _with_statements(known, said)
                elif is_local(place.location) and _local_entry(place.location).size_bytes is None:
                    absent.append(f"row {row} ({said.reference!r})")
        if absent:
            self.warnings.append(f"{name}: {len(absent)} rows name files that do not exist, first {absent[0]}")

    def _keep(self, listed: Listed) -> None:
        known = self.found.get(listed.uri)
        self.found[listed.uri] = listed if known is None else merge_listed(known, listed)


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
