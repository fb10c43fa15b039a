"""A small fleet that everybody asks, with all its traps; made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.made_fleet import SMALL, Made, make_fleet


@pytest.fixture(scope="session")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Twenty hosts and two days; nobody may write into it."""
    root: Path = tmp_path_factory.mktemp("fleet")
    return make_fleet(root, 20, days=2, size=SMALL, traps=True)
