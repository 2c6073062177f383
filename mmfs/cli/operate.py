"""Commands of operation: verify, vacuum, doctor, bench."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmfs.cli.options import StoreOption, open_
from mmfs.cli.output import AsJson, console, human_bytes, print_json, print_rows
from mmfs.doctor import diagnose
from mmfs.settings import load_settings

app = typer.Typer()


@app.command()
def verify(
    deep: Annotated[bool, typer.Option("--deep", help="Also read every blob and check its checksum.")] = False,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Compare tables, packs and index; exit code 1 on any difference."""
    report = open_(store, create=False).verify(deep=deep)
    if as_json:
        print_json(report)
    else:
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
    findings = diagnose(load_settings(**({"store": store} if store else {})))
    if as_json:
        print_json(findings)
    else:
        print_rows(("", "what", "found", "mend"), ((f.mark, f.what, f.found, f.mend or "") for f in findings))
    if any(finding.failed for finding in findings):
        raise typer.Exit(1)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="ingest, features, search or loader.")],
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
