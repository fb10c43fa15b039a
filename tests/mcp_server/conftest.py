"""Stores to ask about, and how they are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitord.storage import SQLiteProfileStore, open_store
from tests.cli.conftest import data_dir, environment, here
from tests.mcp_server.talking import OVER, TRANSPORTS, Asker, HttpServer

__all__ = ["data_dir", "environment", "here"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteProfileStore]:
    opened = open_store(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture(params=TRANSPORTS)
def over(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Connects to a server over this transport: `over(data_dir, *words)`."""
    return OVER[str(request.param)]


@pytest.fixture(scope="module", params=TRANSPORTS)
def nothing_recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asker]:
    """One server for a module's refusals, over a store without incidents."""
    data_dir = tmp_path_factory.mktemp("refusals") / "data"
    open_store(data_dir).close()
    with OVER[str(request.param)](data_dir) as asker:
        yield asker


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """One server over HTTP for a module; its store is empty."""
    data_dir = tmp_path_factory.mktemp("http") / "data"
    open_store(data_dir).close()
    running = HttpServer(data_dir)
    yield running
    running.stop()
