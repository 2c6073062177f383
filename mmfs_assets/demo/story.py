"""The demo as it is told: media, assets, tables, searches, truth, training, and what to try next."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmfs.client import FeatureStore, open_store
from mmfs.errors import FeatureError, NoStoreError
from mmfs.ids import digest
from mmfs.settings import Settings, load_settings
from mmfs_assets.assets.demo_head import COLUMNS
from mmfs_assets.demo import show
from mmfs_assets.demo.questions import own_questions, scene_questions
from mmfs_assets.demo.setup import check_models, demo_settings, own_media, rendered_media
from mmfs_assets.execution.home import dagster_home, open_instance
from mmfs_assets.planning.materialize import materialize
from mmfs_assets.planning.terminal import TerminalWatcher


def run_demo(
    console: Console,
    *,
    media: Sequence[str | Path] = (),
    store: str | None = None,
    pictures: int = 256,
    clips: int = 12,
) -> None:
    """Run the main job end to end.

    Args:
        console: Where the story is told.
        media: Folders or ``s3://`` prefixes with the user's own media; empty: rendered scenes.
        store: Where the store lies; default: ``MMFS_STORE`` or ``./data/store``.
        pictures, clips: How many scenes to render.

    Raises:
        IngestError: A folder does not exist.
        SettingsError: The store was made with other models.
        FeatureError: An asset failed; the message says which and why.
    """
    began = time.perf_counter()
    settings = demo_settings(store)
    sources = _own(console, media) if media else [str(_render(console, settings, pictures, clips))]
    features = _open(settings)
    show.chapter(console, 2, "Ingest: give unseen media to shards (no byte is read yet)")
    show.ingested(console, features.ingest(sources, added_by="mmfs demo"))
    show.chapter(console, 3, "Materialize: everything that is missing or stale, through Dagster")
    _materialize(console, settings)
    show.chapter(console, 4, "What exists")
    show.tables(console, features)
    show.chapter(console, 5, "Search in words")
    _search(console, features, rendered=not media)
    if not media:
        show.chapter(console, 6, "Compare with the truth: scenes that the demo models never saw")
        show.truth(console, features)
    show.chapter(console, 7, "Train: one epoch from a pin")
    _epoch(console, features)
    show.next_steps(console, features, dagster_home(settings), seconds=time.perf_counter() - began)


def _own(console: Console, media: Sequence[str | Path]) -> list[str]:
    show.chapter(console, 1, "Media: yours")
    sources = own_media(media)
    console.print(", ".join(sources), highlight=False, markup=False)
    return sources


def _render(console: Console, settings: Settings, pictures: int, clips: int) -> Path:
    show.chapter(console, 1, "Media: render scenes")
    began = time.perf_counter()
    with console.status("rendering") as status:
        folder, fresh = rendered_media(
            settings, pictures, clips, lambda done, total: status.update(f"rendering {done} of {total}")
        )
    how = f"rendered in {time.perf_counter() - began:.1f} s" if fresh else "there already, nothing rendered"
    console.print(f"{pictures} pictures and {clips} clips in {show.seen_from_here(folder)}: {how}", highlight=False)
    return folder


def _open(settings: Settings) -> FeatureStore:
    try:
        there = open_store(load_settings(store=settings.store), create=False)
    except NoStoreError:
        return open_store(settings)
    check_models(settings, there.settings)
    return open_store(settings)


def _materialize(console: Console, settings: Settings) -> None:
    began = time.perf_counter()
    with open_instance(settings) as instance, TerminalWatcher(console) as watcher:
        done = materialize(settings, instance, watcher=watcher)
    if done.failures:
        reasons = [reason for found in done.failures.values() for reason in found]
        raise FeatureError(
            f"{len(reasons)} steps failed: {reasons[0]}", mend="mend it and run the demo again; it goes on from there"
        )
    if not done.runs:
        console.print("nothing to compute: every shard of every asset is fresh", style="green")
    else:
        console.print(f"{len(done.runs)} Dagster runs in {time.perf_counter() - began:.1f} s", highlight=False)


def _search(console: Console, features: FeatureStore, *, rendered: bool) -> None:
    from mmfs.models.store_truth import precision_of

    questions = scene_questions() if rendered else own_questions(features)
    for number, question in enumerate(questions, 1):
        hits = features.search(question.text, k=5, where=question.where, space=question.space)
        precision = precision_of(features, hits, question.text) if rendered else None
        page = hits.to_html(show.gallery_folder(features) / f"search-{number}.html")
        show.hits(console, question, hits, precision, page)


def _epoch(console: Console, features: FeatureStore) -> None:
    versions = [f"{name}@{features.core.tables.digest(name)}" for name in sorted(c.split(".")[0] for c in COLUMNS)]
    name = f"demo-epoch-{digest(*versions)[:8]}"  # pins never change, so new content gets a new name
    pin = features.pin(name, columns=COLUMNS, missing="skip")
    loader = features.loader(name, batch_size=32, image_size=224, seed=0)
    began, samples = time.perf_counter(), 0
    for batch in loader:
        samples += int(batch["_valid"].sum())
    show.epoch(console, pin, batch, samples=samples, seconds=time.perf_counter() - began)
