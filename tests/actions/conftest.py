"""The real command line, as in tests/cli, beside whatever else asks the same."""

from __future__ import annotations

from tests.cli.conftest import data_dir, environment, here, new_incident, store

__all__ = ["data_dir", "environment", "here", "new_incident", "store"]
