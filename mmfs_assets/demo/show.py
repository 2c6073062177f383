"""What the demo prints."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from mmfs.cli.output import human_bytes, print_rows
from mmfs.client import FeatureStore
from mmfs.ingest import IngestReport
from mmfs.search import Hits
from mmfs.store.pin import Pin
from mmfs_assets.demo.questions import Question

CHAPTERS = 7
_BOOKKEEPING = frozenset({"listings", "subsets", "training_runs", "tombstones"})


def chapter(console: Console, number: int, title: str) -> None:
    """A heading."""
    console.print(f"\n[bold cyan]{number}/{CHAPTERS}[/]  [bold]{escape(title)}[/]", highlight=False)


def ingested(console: Console, report: IngestReport) -> None:
    """What became of the listing."""
    console.print(
        f"{report.new:,} new media, {report.known:,} known already; "
        + (f"shards {', '.join(report.shards)}" if report.shards else "no shard changed"),
        highlight=False,
    )
    for warning in report.warnings:
        console.print(warning, style="yellow", markup=False)


def tables(console: Console, features: FeatureStore) -> None:
    """Rows, bytes and coverage of the tables that hold data."""
    print_rows(
        ("table", "grain", "rows", "coverage", "Parquet", "packs", "columns"),
        (
            (
                name,
                info.grain,
                f"{info.rows:,}",
                f"{info.coverage:.0%}" if info.coverage is not None else "-",
                human_bytes(info.bytes),
                human_bytes(_pack_bytes(features, name)) if features.core.tables.spec(name).blob else "-",
                ", ".join(info.columns[:6]) + (" ..." if len(info.columns) > 6 else ""),
            )
            for name, info in features.tables().items()
            if name not in _BOOKKEEPING
        ),
        right=("rows", "coverage", "Parquet", "packs"),
    )


def hits(console: Console, question: Question, found: Hits, precision: float | None, page: Path) -> None:
    """One search and its hits."""
    where = f"  WHERE {question.where}" if question.where else ""
    how = "by the words of captions" if found.info.engine == "captions" else "by meaning"
    console.print(f'\n[bold]"{escape(question.text)}"[/]  {how}{escape(where)}', highlight=False)
    if found.info.label:
        console.print(found.info.label, style="yellow", markup=False)
    print_rows(
        ("#", "score", "time", "caption", "media"),
        (
            (
                number,
                f"{row['score']:.3f}",
                f"{row['time_s']:.1f} s" if row.get("time_s") else "-",
                row["caption"],
                Path(row["uri"]).name,
            )
            for number, row in enumerate(found.table.to_pylist(), 1)
        ),
        right=("#", "score", "time"),
    )
    truth = f"precision@{len(found)} against the scenes: [bold]{precision:.2f}[/]; " if precision is not None else ""
    console.print(f"{truth}gallery: {escape(seen_from_here(page))}", highlight=False)


def truth(console: Console, features: FeatureStore) -> None:
    """Quality of the stored features, measured against the scenes."""
    from mmfs.models.store_truth import measure_store

    found = measure_store(features)
    console.print(
        f"text -> frame recall@1          {found.recall_at_1:.3f}   of {found.gallery} full captions, gallery of "
        f"{found.gallery}\n"
        f"single-attribute precision@5    {found.attribute_precision_at_5:.3f}   (a red object, a cube, ...)\n"
        f"depth abs-rel                   {found.depth_abs_rel:.3f}   over {found.depth_frames} frames, in metres",
        highlight=False,
    )


def epoch(console: Console, pin: Pin, batch: dict[str, Any], *, samples: int, seconds: float) -> None:
    """What an epoch delivered, and how fast."""
    versions = ", ".join(f"{name}@{table.version}" for name, table in pin.tables.items())
    console.print(f"pin {pin.name}: {pin.samples:,} samples of {escape(versions)}", highlight=False)
    shapes = {name: _shape(value) for name, value in batch.items() if not name.startswith("_")}
    console.print(
        "a batch: " + ", ".join(f"{name} {shape}" for name, shape in shapes.items()), highlight=False, markup=False
    )
    console.print(
        f"{samples:,} samples, each exactly once, in {seconds:.2f} s: [bold]{samples / seconds:,.0f} samples/s[/] "
        "(JPEG and depth decoded, resized, collated)",
        highlight=False,
    )


def next_steps(console: Console, features: FeatureStore, home: Path, *, seconds: float) -> None:
    """How to go on."""
    place = home if seen_from_here(home) == str(home) else f"$PWD/{seen_from_here(home)}"  # Dagster wants it absolute
    told = features.url if "://" in features.url else seen_from_here(Path(features.url))
    console.print(f"\n[bold green]done[/] in {seconds:.0f} s. Store: {escape(told)}", highlight=False)
    console.print(
        f"""
  make ui                                           the lineage, runs, checks and contact sheets in Dagster
      (or: DAGSTER_HOME={place} .venv/bin/dagster dev -w workspace.yaml)
  .venv/bin/mmfs search "a green cone" --html g.html    ask your own question
  .venv/bin/mmfs sql "SELECT kind, count(*) FROM raw_media GROUP BY kind"
  .venv/bin/mmfs demo --media DIR                       the same with your own pictures and videos
  MMFS_CLIP__MODEL, MMFS_DEPTH__MODEL               real models: a hub name or a local directory (README)
""",
        highlight=False,
        markup=False,
    )


def seen_from_here(path: Path) -> str:
    """A path as one types it in the working directory."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def gallery_folder(features: FeatureStore) -> Path:
    """Where galleries go: beside a local store, else the working directory."""
    return Path("data/gallery") if "://" in features.url else Path(features.url).parent / "gallery"


def _pack_bytes(features: FeatureStore, table: str) -> int:
    lengths = features.table(table).to_arrow(columns=["length"])["length"]
    return sum(lengths.to_pylist())


def _shape(value: Any) -> str:
    if hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return f"{len(value)} texts"
