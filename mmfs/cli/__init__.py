"""The ``mmfs`` command."""

__all__ = ["main"]


def main() -> None:
    """Run the command line; see `mmfs.cli.app.main`."""
    from mmfs.cli.app import main as run  # it loads plugins, and they use parts of this package

    run()
