"""A machine with a day of history behind it, shown by a server, in one browser for a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.profiles.chromium import Chromium
from tests.web.browsing import logged_in, sized
from tests.web.histories import fill_history
from tests.web.serving import WebServer
from tests.web.stores import fill

__all__ = ["browser", "machine", "page", "shown", "started"]
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


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]
) -> Iterator[Chromium]:
    """One browser for a module: a tab is cheap, a browser takes seconds."""
    with Chromium(require_tool("chromium"), tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def browser(started: Chromium) -> Chromium:
    """As new: of the usual size, without what it complained of before."""
    sized(started, 1400)
    started.visit("about:blank")
    started.events.clear()
    return started


@pytest.fixture
def page(browser: Chromium, shown: WebServer) -> Chromium:
    return logged_in(browser, shown)
