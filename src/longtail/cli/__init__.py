"""The command line: one file a verb; what answers at once imports no torch."""

from longtail.cli.app import main

__all__ = ["main"]
