"""The page's assets are there before its tests; a store and a server for a module."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.storage import open_store
from tests.web.serving import WebServer
from tests.web.stores import fill

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def _assets() -> None:
    """As `make assets`; lanes that run beside each other wait for one."""
    lock = os.open(ROOT / "assets", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([sys.executable, ROOT / "assets" / "fetch.py"], check=True)
    finally:
        os.close(lock)


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """One server for a module; its store is empty."""
    data_dir = tmp_path_factory.mktemp("empty") / "data"
    open_store(data_dir).close()
    server = WebServer(data_dir)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store with twelve incidents, and their ids, the newest first."""
    data_dir = tmp_path_factory.mktemp("stored") / "data"
    return data_dir, fill(data_dir, 12)


@pytest.fixture(scope="module")
def server(stored: tuple[Path, list[str]]) -> Iterator[WebServer]:
    """One server for a module over that store."""
    server = WebServer(stored[0])
    yield server
    server.stop()
