"""The ``mmfs`` command."""

from mmfs.cli.app import main

__all__ = ["main"]
