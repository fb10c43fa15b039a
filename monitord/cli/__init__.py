"""The command line. It shows and never decides; `main` is the entry point of `monitord`."""

from monitord.cli.app import main

__all__ = ["main"]
