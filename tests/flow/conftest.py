"""The recorder fixture: a real daemon in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flow.recorder import CPU_RULE, QUICK, Recorder


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Callable[..., Recorder]]:
    """Make recorders by config text; all are stopped at the end."""
    made: list[Recorder] = []

    def make(rules: str = CPU_RULE, settings: str = QUICK) -> Recorder:
        folder = tmp_path / f"recorder{len(made)}"
        folder.mkdir()
        made.append(Recorder(folder, settings + rules))
        return made[-1]

    yield make
    for one in made:
        one.close()
