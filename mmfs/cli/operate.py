"""Commands of operation: verify, compact, vacuum, doctor, bench."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, console, errors_console, human_bytes, print_json, print_rows
from mmfs.cli.plugins import plugin_findings
from mmfs.doctor import diagnose
from mmfs.settings import load_settings

app = typer.Typer()


@app.command()
def verify(
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Also compare every byte of tables, packs and an index in a bucket with its checksum, and every "
            "vector of the index with its row.",
        ),
    ] = False,
    drop_damaged: Annotated[
        bool,
        typer.Option(
            "--drop-damaged",
            help="First drop rows whose bytes in packs are damaged or gone, and all rows of damaged data files: "
            "they are computed again.",
        ),
    ] = False,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Compare tables, packs and index; exit code 1 on any difference."""
    opened = open_(store, create=False)
    said = errors_console if as_json else console
    if drop_damaged:
        opened.drop_damaged(
            lambda table, shard, rows: said.print(
                f"{table} {shard}: {rows} rows dropped; `mmfs materialize` computes them again", markup=False
            )
        )
    report = opened.verify(deep=deep, index=True)
    if as_json:
        print_json(report)
    else:
        for problem in report.problems:
            console.print(problem, markup=False, style="red")
        console.print(report.summary(), markup=False)
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def compact(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be rewritten.")] = False,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Rewrite packs that are mostly dead, and many small ones into few; exit code 1 when one is damaged."""
    report = open_(store, create=False).compact(dry_run=dry_run)
    if as_json:
        print_json(report)
    else:
        columns = ("table", "shard", "packs", "then", "copied", "left for vacuum")
        rows = (
            (
                s.table,
                s.shard,
                s.packs_before,
                s.packs_after,
                human_bytes(s.copied_bytes),
                human_bytes(s.replaced_bytes),
            )
            for s in report.rewritten
        )
        if report.rewritten:
            print_rows(columns, rows, right=columns[2:])
        for note in report.notes:
            console.print(note, markup=False)
        for problem in report.problems:
            console.print(problem, markup=False, style="red")
        console.print(report.summary(), markup=False)
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def vacuum(
    keep_days: Annotated[float, typer.Option(min=0, help="Days of unpinned history to keep.")] = 7,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Delete files that no kept version and no pin names."""
    report = open_(store, create=False).vacuum(keep_days=keep_days)
    if as_json:
        print_json(report)
    else:
        console.print(f"freed {human_bytes(report.bytes_freed)} in {report.files_deleted:,} files")


@app.command()
def doctor(store: StoreOption = None, as_json: AsJson = False) -> None:
    """Check settings, store, models, device and index; say the mend for what is wrong."""
    settings = load_settings(**({"store": store} if store else {}))
    findings = [*diagnose(settings), *plugin_findings(settings)]
    if as_json:
        print_json(findings)
    else:
        print_rows(("", "what", "found", "mend"), ((f.mark, f.what, f.found, f.mend or "") for f in findings))
    if any(finding.failed for finding in findings):
        raise typer.Exit(1)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="File name of a script in benchmarks/, as in media or search_build.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the results here.")] = None,
) -> None:
    """Run a benchmark of the source tree and print its ratios."""
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    script = folder / f"{name}.py"
    if not name.isidentifier() or not script.is_file():
        known = (
            ", ".join(sorted(path.stem for path in folder.glob("*.py"))) or "none: benchmarks live in the source tree"
        )
        raise typer.BadParameter(f"there is no benchmark {name!r}; known: {known}")
    command = [sys.executable, str(script), *(["--json", str(json_file)] if json_file else [])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)
