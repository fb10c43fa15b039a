"""A real store in a folder of its own, and incidents to put into it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.model import Incident
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions

WRITER_SCRIPT = Path(__file__).with_name("writer_process.py")


@pytest.fixture(autouse=True)
def umask_of_most_people() -> Iterator[None]:
    """Modes must come from us, not from a careful umask."""
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(data_dir: Path) -> Iterator[SQLiteProfileStore]:
    opened = open_store(data_dir)
    assert not opened.is_degraded, opened.degraded_reason
    yield opened
    opened.close()


@pytest.fixture
def writer_script() -> Path:
    return WRITER_SCRIPT


@pytest.fixture(scope="session")
def make_incident() -> Callable[..., Incident]:
    spec = importlib.util.spec_from_file_location("writer_process", WRITER_SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    maker: Callable[..., Incident] = module.make_incident
    return maker


@pytest.fixture
def near() -> MemoryStorageProvider:
    return MemoryStorageProvider()


@pytest.fixture
def far() -> MemoryStorageProvider:
    provider = MemoryStorageProvider()
    provider.name = "far"
    return provider


@pytest.fixture
def pending(tmp_path: Path) -> Iterator[PendingDeletions]:
    """What is to be deleted at `far`."""
    deletions = PendingDeletions(tmp_path / "deletions")
    yield deletions
    deletions.close()
