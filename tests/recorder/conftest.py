"""A real store for what the recorder does with one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.storage import SQLiteProfileStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteProfileStore]:
    opened = open_store(tmp_path / "data")
    yield opened
    opened.close()
