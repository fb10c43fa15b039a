"""Of another user's recorder nothing is claimed: neither that it runs nor that it does not."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.errors import PermissionDeniedError
from monitord.recorder.locks import DAEMON_LOCK
from monitord.recorder.status import read_status
from tests.cli.conftest import Cli

pytestmark = pytest.mark.root
_NOBODY = 65534


@pytest.fixture
def stranger(store, data_dir: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """An ordinary user, who may not read the lock; what else a test needs was made before."""
    (data_dir / DAEMON_LOCK).touch(mode=0o600)
    for name in ("getpass", "statistics", "tarfile"):  # the interpreter's own files may be closed to him
        importlib.import_module(name)
    os.seteuid(_NOBODY)
    yield
    os.seteuid(0)


@pytest.mark.parametrize(
    "words", [("status",), ("status", "--json"), ("snapshot",), ("service", "reload"), ("recent",)]
)
def test_who_may_not_look_is_told_so_and_not_that_nobody_records(
    words: tuple[str, ...], stranger: None, here: Cli
) -> None:
    told = here(*words)
    assert told.code == 4
    (line,) = told.err.splitlines()
    assert line.startswith("monitord: cannot ")
    assert "nobody records" not in line
    assert told.out == ""


def test_the_status_of_a_recorder_that_can_not_be_looked_at_is_not_known(
    stranger: None, data_dir: Path
) -> None:
    with pytest.raises(PermissionDeniedError, match="another user's; try sudo"):
        read_status(data_dir)
