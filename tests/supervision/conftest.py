"""Both modes of the supervisor; after every test nothing is left of what it ran."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capture.targets import wait_for
from tests.supervision.commands import MODES, Commands


@pytest.fixture(params=MODES)
def commands(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Commands]:
    """Afterwards nothing lives that any of them started."""
    made = Commands(request.param, tmp_path)
    yield made
    wait_for(lambda: made.living() == [], "all that was started to be gone")
