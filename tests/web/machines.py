"""A machine with a day of history behind it, shown by a server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.profiles.chromium import Chromium
from tests.web.browsing import logged_in
from tests.web.histories import fill_history
from tests.web.serving import WebServer
from tests.web.stores import fill

__all__ = ["machine", "page", "shown"]
NOW_S = datetime.now(UTC).timestamp()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A day of history, and incidents with what the black box had."""
    data_dir = tmp_path_factory.mktemp("machine") / "data"
    ids = fill(data_dir, 30)
    fill_history(data_dir, datetime.now(UTC), step_s=60)
    return data_dir, ids


@pytest.fixture(scope="module")
def shown(machine: tuple[Path, list[str]]) -> Iterator[WebServer]:
    server = WebServer(machine[0])
    yield server
    server.stop()


@pytest.fixture
def page(browser: Chromium, shown: WebServer) -> Chromium:
    return logged_in(browser, shown)
