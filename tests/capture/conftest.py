"""Targets and folders for capture; after every test nothing of a profiler may be left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.capture import Consent, ProfileCaptureService
from tests.capture.targets import GRACE_S, Targets, working_in


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[Targets]:
    started = Targets(tmp_path / "targets")
    yield started
    started.end()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where captures put their files; a process that still works there afterwards was left behind."""
    path = tmp_path / "spool"
    path.mkdir(mode=0o700)
    yield path
    assert working_in(path) == []


@pytest.fixture
def service() -> ProfileCaptureService:
    return ProfileCaptureService(Consent(), grace_s=GRACE_S)
