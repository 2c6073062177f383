"""The ``mmfs`` entry point: collects the commands, and turns errors into one clear message and an exit code."""

from __future__ import annotations

import sys
import traceback

import typer

from mmfs.cli import curate, ingest, look, operate, plan, reproduce, retry, search
from mmfs.cli.output import errors_console
from mmfs.cli.plugins import add_plugin_commands
from mmfs.errors import MmfsError, SettingsError

app = typer.Typer(
    name="mmfs",
    help="A multimodal feature store for generative-AI training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (ingest, look, plan, retry, search, reproduce, operate):
    app.registered_commands.extend(module.app.registered_commands)
app.add_typer(curate.app, name="curate")
add_plugin_commands(app)


def main() -> None:
    """Run the command line: exit code 0 for success, 1 for failure, 2 for usage and settings."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        typer.main.get_command(app).main(args=arguments, prog_name="mmfs")
    except KeyboardInterrupt:
        errors_console.print("stopped")
        sys.exit(130)
    except MmfsError as error:
        if debug:
            traceback.print_exc()
        errors_console.print("[bold red]error:[/] ", end="")
        errors_console.print(error.what + (f" [{error.where}]" if error.where else ""), markup=False, highlight=False)
        errors_console.print("  mend: ", end="", style="bold")
        errors_console.print(error.mend, markup=False, highlight=False)
        sys.exit(2 if isinstance(error, SettingsError) else 1)
