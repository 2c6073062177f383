"""Builders and readers in processes of their own, to be killed or to be many."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from mmfs.store import Store

TABLE = "colour_embeddings"
_BUILDER = """
import sys
from mmfs.search.build import build_index
from mmfs.search import edge_engine, server
from mmfs.settings import Settings
from mmfs.store import Store
store = Store.open(sys.argv[1], settings=Settings(device="cpu"))
print("ready", flush=True)
sys.stdin.readline()
build_index(store, sys.argv[2], sys.argv[3:])
"""
_READER = """
import json, select, sys
import numpy as np
from mmfs.search import Searcher, SearchQuery
from mmfs.settings import Settings
from mmfs.store import Store
searcher = Searcher(Store.open(sys.argv[1], settings=Settings(device="cpu")))
seen, answers = {}, 0
while not select.select([sys.stdin], [], [], 0.02)[0]:
    hits = searcher.search(SearchQuery(vector=np.ones(16), space=sys.argv[2], k=1000))
    found = len(hits) + hits.info.dropped
    assert len(set(hits.table["key"].to_pylist())) == len(hits)
    seen.setdefault(hits.info.build_id, set()).add((found, hits.info.indexed_rows))
    answers += 1
    if answers == 1:
        print("ready", flush=True)
print(json.dumps({"answers": answers, "seen": {build: sorted(rows) for build, rows in seen.items()}}), flush=True)
"""


def builder(store: Store, shards: Sequence[str]) -> subprocess.Popen[str]:
    """A process that is about to build these shards' index: it begins when a line is written to its input."""
    return _start(_BUILDER, [store.url, TABLE, *shards])


def reader(store: Store) -> subprocess.Popen[str]:
    """A process that has answered a first search, and goes on until its input is closed; then it tells what it saw."""
    return _start(_READER, [store.url, TABLE])


def _start(code: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if line != "ready\n":
        raise AssertionError(process.communicate(timeout=30)[1])
    return process
